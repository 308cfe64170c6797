"""Hands an audience over in two steps: opens a batch at another system, then sends the people into it."""

from cdp import retry, secret, session

HOST = "https://batches.example.com"


@session(
    name="{{name}}",
    version="0.1.0",
    summary="Hands an audience over as a batch.",
    config_schema={"type": "object", "required": ["list"], "properties": {"list": {"type": "string"}}},
    hosts=[HOST],
    secrets=["token"],
)
class Plugin:
    @staticmethod
    def check(config):
        good = isinstance(config.get("list"), str) and config["list"]
        return [] if good else ["/list: is the name of the list"]

    def deliver(self, items, outside, now):
        if not items:
            return []

        def request(method, path, body):
            return {
                "method": method,
                "url": HOST + path,
                "headers": {"content-type": "application/json", "authorization": secret("token")},
                "body": body,
                # The same delivery tried again finds the batch that it opened before.
                "idempotency_key": items[0].id,
            }

        opened = outside.send(request("POST", f"/v1/lists/{self.config['list']}/batches", ""))
        if opened.status != 201:
            return [retry() for _ in items]
        batch = opened.body.decode().strip()
        rows = [{"remove" if item.change == "removed" else "put": item.document} for item in items]
        sent = outside.send(request("PUT", f"/v1/batches/{batch}", rows))
        # What was sent last, to look at when something goes wrong; nothing rests on it.
        outside.put("last-batch", batch.encode())
        return [None if sent.status == 204 else retry() for _ in items]
