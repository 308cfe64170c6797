"""Keeps a list at another system in step with an audience, up to 100 people in a request."""

from cdp import connector, reject, retry, secret

HOST = "https://lists.example.com"
PEOPLE_MAX = 100


@connector(
    name="{{name}}",
    version="0.1.0",
    summary="Keeps a list in step with an audience.",
    config_schema={"type": "object", "required": ["list"], "properties": {"list": {"type": "string"}}},
    hosts=[HOST],
    secrets=["token"],
)
class Plugin:
    @staticmethod
    def check(config):
        good = isinstance(config.get("list"), str) and config["list"]
        return [] if good else ["/list: is the name of the list"]

    def plan(self, items, now):
        planned = []
        for method, leaves in [("PUT", False), ("DELETE", True)]:
            some = [at for at, item in enumerate(items) if (item.change == "removed") == leaves]
            for start in range(0, len(some), PEOPLE_MAX):
                covers = some[start : start + PEOPLE_MAX]
                request = {
                    "method": method,
                    "url": f"{HOST}/v1/lists/{self.config['list']}/people",
                    "headers": {"content-type": "application/json", "authorization": secret("token")},
                    "body": [items[at].document for at in covers],
                    "idempotency_key": items[covers[0]].id,
                }
                planned.append((covers, request))
        return planned

    def settle(self, items, reply):
        if reply.status and 200 <= reply.status < 300:
            return [None for _ in items]
        if reply.status == 422:
            return [reject("the list does not take them") for _ in items]
        return [retry() for _ in items]
