"""Operations on a running stack: verify, back up, upgrade, drain, uninstall."""
