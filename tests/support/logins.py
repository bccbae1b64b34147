"""Who else knows the persons that log in: an LDAP server, and a provider of OpenID Connect.

Each gives the webserver_config.py that asks it.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from oidc_provider_mock import User, app
from werkzeug.serving import make_server

from tests.support.hosts import Host, Network

PERSON = "lena"
EMAIL = "lena@example.com"
OPENID_EMAIL = "lena@example.org"  # Airflow takes an address once
PASSWORD = "lena's p@ss: w0rd"
SECRET = "between-airflow-and-th3m"
_SLAPD = """
set -e
export DEBIAN_FRONTEND=noninteractive
echo 'slapd slapd/domain string example.com' | debconf-set-selections
apt-get update -qq
apt-get install -qq --no-install-recommends slapd >/dev/null
systemctl stop slapd
runuser -u openldap -- slapadd -n 1 <<'END'
dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: cn=reader,dc=example,dc=com
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: reader
userPassword: {secret}

dn: uid={person},ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: {person}
cn: Lena Example
givenName: Lena
sn: Example
mail: {email}
userPassword: {password}
END
systemctl start slapd
"""
_NEW_PERSONS = """
AUTH_USER_REGISTRATION = True
AUTH_USER_REGISTRATION_ROLE = "Viewer"
WTF_CSRF_ENABLED = True
"""
_LDAP = """
AUTH_TYPE = 2
AUTH_LDAP_SERVER = "ldap://{address}"
AUTH_LDAP_SEARCH = "ou=people,dc=example,dc=com"
AUTH_LDAP_UID_FIELD = "uid"
AUTH_LDAP_BIND_USER = "cn=reader,dc=example,dc=com"
AUTH_LDAP_BIND_PASSWORD = "{secret}"
"""
_OAUTH = """
AUTH_TYPE = 4
OAUTH_PROVIDERS = [
    {{
        "name": "okta",
        "icon": "fa-circle-o",
        "token_key": "access_token",
        "remote_app": {{
            "client_id": "airflow",
            "client_secret": "{secret}",
            "api_base_url": "{url}/",
            "server_metadata_url": "{url}/.well-known/openid-configuration",
            "client_kwargs": {{"scope": "openid profile email"}},
        }},
    }}
]
"""


def ldap(host: Host) -> str:
    """Install an LDAP server with one person on a host."""
    words = {"secret": SECRET, "person": PERSON, "email": EMAIL, "password": PASSWORD}
    host.ssh("bash", input=_SLAPD.format(**words))
    return _LDAP.format(address=host.address, secret=SECRET) + _NEW_PERSONS


@contextmanager
def openid(network: Network) -> Iterator[str]:
    """Run a provider, which knows the same person, where a network's hosts reach this machine."""
    os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # else it wants to be asked by TLS
    claims: dict[str, object] = {
        "email": OPENID_EMAIL,
        "given_name": "Lena",
        "family_name": "Example",
    }
    provider = app(user_claims=[User(sub=PERSON, claims=claims)])
    server = make_server(network.gateway, 0, provider, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://{network.gateway}:{server.server_port}"
    try:
        yield _OAUTH.format(url=url, secret=SECRET) + _NEW_PERSONS
    finally:
        server.shutdown()
        thread.join()
