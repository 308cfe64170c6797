"""Verifies messages with the specification's own library: verify.py PACKAGES MESSAGES"""

import base64
import json
import sys

sys.path.insert(0, sys.argv[1])
from standardwebhooks.webhooks import Webhook, WebhookVerificationError  # noqa: E402

with open(sys.argv[2], encoding="utf-8") as file:
    messages = json.load(file)
for message in messages:
    verified = True
    try:
        body = base64.b64decode(message["body_base64"])
        Webhook(message["secret"]).verify(body, message["headers"], json_parse=False)
    except WebhookVerificationError:
        verified = False
    if verified != message["good"]:
        sys.exit(f"{message['name']}: {'verified' if verified else 'refused'}")
print("done")
