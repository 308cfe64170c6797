"""Plays the journey with the Python library, as an application would.

journey.py PACKAGES BASE WRITE_KEY RUN JOURNEY [gzip]
"""
import datetime
import json
import re
import sys

packages, host, write_key, run, journey = sys.argv[1:6]
sys.path.insert(0, packages)

from segment.analytics.client import Client  # noqa: E402

failures = []
client = Client(
    write_key,
    host=host,
    gzip="gzip" in sys.argv[6:],
    upload_size=4,
    timeout=60,
    on_error=lambda error, items: failures.append(f"{error}: {len(items)} items"),
)
with open(journey, encoding="utf-8") as file:
    calls = json.loads(file.read().replace("{run}", run))["calls"]
for call in calls:
    said = {re.sub("([A-Z])", lambda m: "_" + m[1].lower(), name): value for name, value in call.items()}
    [said.pop(name, None) for name in ("id", "note")]
    method = getattr(client, said.pop("call"))
    said["timestamp"] = datetime.datetime.fromisoformat(said["timestamp"].replace("Z", "+00:00"))
    accepted, _ = method(**said)
    if not accepted:
        failures.append(f"{call['id']}: not queued")
client.shutdown()
print(json.dumps({"failures": failures}))
sys.exit(1 if failures else 0)
