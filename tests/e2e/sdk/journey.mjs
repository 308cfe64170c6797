// Plays the journey with the Node library, as an application would.
// node journey.mjs PACKAGES BASE WRITE_KEY RUN JOURNEY
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const [packages, host, writeKey, run, journey] = process.argv.slice(2);
const { Analytics } = createRequire(`${packages}/`)("@segment/analytics-node");
const { calls } = JSON.parse(readFileSync(journey, "utf8").replaceAll("{run}", run));

const analytics = new Analytics({ writeKey, host, flushAt: 4, flushInterval: 100, httpRequestTimeout: 60000 });
const failures = [];
analytics.on("error", (error) => failures.push(String(error.reason ?? error.code ?? error)));
let delivered = 0;
for (const { id, call, note, ...said } of calls) {
  if (said.timestamp) said.timestamp = new Date(said.timestamp);
  // The library takes only strings as ids.
  if (said.userId) said.userId = String(said.userId);
  analytics[call](said, (error) => (error ? failures.push(`${id}: ${error}`) : delivered++));
}
await analytics.closeAndFlush({ timeout: 120000 });
console.log(JSON.stringify({ delivered, failures }));
process.exit(failures.length ? 1 : 0);
