"""Airflow itself: its Python, configuration, database, services, DAGs and objects."""
