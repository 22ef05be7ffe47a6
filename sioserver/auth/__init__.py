"""Who somebody is and what they may do: tokens, anonymous users, the rules of the rooms.

Pure policy: values in, values or a `Refusal` out.
"""

from sioserver.auth.claims import MAX_TIME
from sioserver.auth.identity import Grant, Identity
from sioserver.auth.jws import MAX_TOKEN
from sioserver.auth.names import GUEST, MAX_NAME, check_user_id, clean_name
from sioserver.auth.policy import PERMISSIONS, Policy
from sioserver.auth.signer import Signer
from sioserver.auth.verifier import Verifier

__all__ = [
    "GUEST",
    "MAX_NAME",
    "MAX_TIME",
    "MAX_TOKEN",
    "PERMISSIONS",
    "Grant",
    "Identity",
    "Policy",
    "Signer",
    "Verifier",
    "check_user_id",
    "clean_name",
]
