"""Makes keys and tokens for tests/authentication_servers.rs and prints them as JSON: another implementation of JWT than ours."""

import json
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm


def public(key, algorithm, name):
    found = json.loads(algorithm.to_jwk(key.public_key()))
    found.pop("key_ops", None)
    return found | {"kid": name, "use": "sig"}


first = rsa.generate_private_key(65537, 2048)
curve = ec.generate_private_key(ec.SECP256R1())
second = rsa.generate_private_key(65537, 2048)
now = int(time.time())
permissions = [{"action": "read", "path": "~^live/"}, {"action": "publish", "path": "live/cam"}, {"action": "api"}]
claims = {"sub": "eva", "iss": "issuer", "aud": "headwater", "exp": now + 3600, "mediamtx_permissions": permissions}


def token(key, algorithm, name, **changed):
    return jwt.encode(claims | changed, key, algorithm, headers={"kid": name})


good = {
    "rsa": token(first, "RS256", "rsa"),
    "ec": token(curve, "ES256", "ec"),
    "permissions as text": token(first, "RS256", "rsa", mediamtx_permissions=json.dumps(permissions)),
}
tampered = good["rsa"].split(".")
tampered[2] = ("A" if tampered[2][0] != "A" else "B") + tampered[2][1:]
bad = {
    "wrong signature": ".".join(tampered),
    "signed by a stranger": token(second, "RS256", "rsa"),
    "expired": token(first, "RS256", "rsa", exp=now - 60),
    "wrong audience": token(first, "RS256", "rsa", aud="somebody else"),
    "wrong issuer": token(first, "RS256", "rsa", iss="somebody else"),
    "no algorithm": jwt.encode(claims, None, "none", headers={"kid": "rsa"}),
    "other permissions": token(first, "RS256", "rsa", mediamtx_permissions=[{"action": "metrics"}]),
}
print(
    json.dumps(
        {
            "keys": {"keys": [public(first, RSAAlgorithm, "rsa"), public(curve, ECAlgorithm, "ec")]},
            "good": good,
            "bad": bad,
            "rotated keys": {"keys": [public(second, RSAAlgorithm, "second")]},
            "rotated": token(second, "RS256", "second"),
        }
    )
)
