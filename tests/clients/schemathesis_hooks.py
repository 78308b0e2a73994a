"""What schemathesis must not change of the server that it asks: the port it asks through, and who may use it."""

import schemathesis
from schemathesis.core.parameters import ParameterLocation

ITS_OWN_LINE = ("api", "auth", "externalAuthenticationURL")


@schemathesis.hook
def before_call(context, case, kwargs):
    if not case.path.endswith("/config/global/patch") or not isinstance(case.body, dict):
        return
    # A body that is wrong on purpose is refused as a whole and stays as it is.
    part = case.meta.components.get(ParameterLocation.BODY) if case.meta else None
    if part is None or part.mode.is_positive:
        case.body = {key: value for key, value in case.body.items() if not key.startswith(ITS_OWN_LINE)}
