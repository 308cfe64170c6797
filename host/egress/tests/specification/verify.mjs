// Verifies messages with the specification's own library: node verify.mjs PACKAGES MESSAGES
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const [packages, messages] = process.argv.slice(2);
const { Webhook } = createRequire(`${packages}/`)("standardwebhooks");
for (const { name, secret, headers, body_base64, good } of JSON.parse(readFileSync(messages, "utf8"))) {
  let verified = true;
  try {
    new Webhook(secret).verify(Buffer.from(body_base64, "base64").toString("utf8"), headers);
  } catch (error) {
    if (error.name !== "WebhookVerificationError" && error.constructor.name !== "WebhookVerificationError") throw error;
    verified = false;
  }
  if (verified !== good) {
    console.error(`${name}: ${verified ? "verified" : "refused"}`);
    process.exit(1);
  }
}
console.log("done");
