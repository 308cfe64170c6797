"""Reads a bucket with Amazon's own library: read.py PACKAGES ENDPOINT KEY SECRET, prints {key: [bytes, sha256]}"""

import hashlib
import json
import sys

sys.path.insert(0, sys.argv[1])
import boto3  # noqa: E402

client = boto3.client(
    "s3",
    endpoint_url=sys.argv[2],
    aws_access_key_id=sys.argv[3],
    aws_secret_access_key=sys.argv[4],
    region_name="us-east-1",
)
found = {}
for item in client.list_objects_v2(Bucket="bucket").get("Contents", []):
    body = client.get_object(Bucket="bucket", Key=item["Key"])["Body"].read()
    found[item["Key"]] = [len(body), hashlib.sha256(body).hexdigest()]
print(json.dumps(found))
