// Writes texts that would be scripts into everything that somebody outside can write, and opens every page that shows
// them in Chromium: no dialog opens, and the content security policy has nothing to report.
//
//   node texts.mjs '{"url": …, "key": …, "modules": …, "chromium": …}'
import { createRequire } from "node:module";
import path from "node:path";

const { url, key, modules, chromium: executablePath } = JSON.parse(process.argv[2]);
const require = createRequire(path.join(modules, "package.json"));
const { chromium } = require("playwright-core");

const out = ["", '">', "'>", "</title>", "</textarea>", "</script>", "</style>", "-->", "]]>", '" ', "' ", "`", "</time>", "</option>", "</svg>"];
const run = [
  "<script>alert(1)</script>",
  "<img src=x onerror=alert(1)>",
  "<svg onload=alert(1)>",
  '<iframe srcdoc="<script>alert(1)</script>">',
  'onmouseover=alert(1) x="',
  "javascript:alert(1)",
  "<a href=javascript:alert(1)>x</a>",
  "<math><mtext></p><script>alert(1)</script>",
  "<details open ontoggle=alert(1)>",
  "{{constructor.constructor('alert(1)')()}}",
];
const payloads = out.flatMap((before) => run.map((inner) => before + inner));
const wrong = [];
const check = (holds, what) => {
  if (!holds) wrong.push(what);
};

const call = async (method, at, body) => {
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const answer = await fetch(url + at, { method, headers, body: JSON.stringify(body) });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${at}: ${answer.status} ${text}`);
  return text ? JSON.parse(text) : null;
};
await call("PUT", "/v1/purposes/marketing", { title: "News", legal_basis: "consent", channels: ["email"] });
// What is kept out: every event of this type breaks its schema.
await call("PUT", "/v1/catalogue/types/kept_out/schema", { mode: "quarantine", properties: { type: "object", required: ["never"] } });
const people = [];
const write = async (n, text) => {
  const consent = { channel: "email", address: `a${n}@example.com`, purpose: "marketing", status: "granted", method: text.slice(0, 60), policy_version: text.slice(0, 60) };
  const who = [{ type: "customer_id", value: `c${n}${text}` }, { type: "loyalty_id", value: `l${n}${text}` }];
  await call("POST", "/v1/events?wait=applied", [
    {
      id: `x${n}${text}`, source: `s${text}`, type: `t${n}${text}`, identifiers: who,
      traits: { name: text, [`trait${text}`]: text },
      properties: { [`p${text}`]: text, nested: { [text]: [text] } },
      channels: [{ channel: "email", address: consent.address }], consents: [consent],
    },
    { id: `k${n}${text}`, source: `s${text}`, type: "kept_out", identifiers: who, properties: { [`p${text}`]: text } },
  ]);
  people[n] = (await call("POST", "/v1/profiles/lookup", { identifier: who[0] })).id;
  await call("PUT", `/v1/segments/s${n}`, { title: text.slice(0, 150), rule: { any: [{ trait: "name", op: "eq", value: text }, { trait: `trait${text}`, op: "exists" }] } });
  await call("PUT", `/v1/purposes/p${n}`, { title: text, legal_basis: "consent", channels: ["email"] });
  await call("POST", "/v1/keys", { name: `${n}${text}`, scopes: ["ingest"] });
  if (n % 10) return;
  await call("POST", "/v1/identity/constraints", { kind: "must_not_link", reason: text, a: who[0], b: { type: "customer_id", value: `d${n}${text}` } });
  await call("POST", "/v1/restrictions", { identifier: who[0], reason: text });
  await call("PUT", "/v1/plugin-trust", { keys: [{ name: text, key: String(n).padStart(64, "0") }] });
};
// A few at a time: what is waited for is the disk.
const left = [...payloads.entries()];
await Promise.all([1, 2, 3, 4, 5].map(async () => {
  for (let next = left.shift(); next; next = left.shift()) await write(...next);
}));
const gone = { type: "customer_id", value: `gone${payloads[0]}` };
await call("POST", "/v1/events?wait=applied", { id: "gone", type: "left", identifiers: [gone] });
const ruled = payloads.filter((text) => text.length <= 100);
await call("PUT", "/v1/retention", { rules: ruled.map((text) => ({ type: text, days: 36500, derived: "frozen" })) });
const erasure = await call("POST", "/v1/erasures", { identifier: gone, reason: payloads[0] });

const { link } = await call("POST", "/v1/users", { name: "admin@example.com", role: "admin", link: "sign_in" });
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
const context = await browser.newContext({ viewport: { width: 1360, height: 900 } });
const page = await context.newPage();
page.setDefaultTimeout(30_000);
const here = () => page.url();
page.on("dialog", (dialog) => {
  wrong.push(`${here()}: a script ran`);
  dialog.dismiss();
});
// The browser itself writes an error for an answer of 422: a form that found nobody.
page.on("console", (message) => check(message.type() !== "error" || message.text().includes("status of 422"), `${here()}: ${message.text()}`));
page.on("pageerror", (error) => wrong.push(`${here()}: ${error.message}`));
await page.addInitScript(() => {
  document.addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
});
await page.goto(url + link);
const enter = page.getByRole("button").filter({ hasText: /come in|sign in|enter/i });
if (await enter.count()) await enter.first().click();
await page.waitForURL(/\/console$/);

let opened = 0;
const open = async (at) => {
  const answer = await page.goto(url + at);
  check(answer.status() === 200, `${at}: ${answer.status()}`);
  // What a pointer meets would run too.
  await page.evaluate(() => {
    for (const one of document.querySelectorAll("main *")) one.dispatchEvent(new MouseEvent("mouseover", { bubbles: true }));
  });
  opened += 1;
};
for (const at of [
  "/console", "/console/profiles", "/console/segments", "/console/segments/+new", "/console/channels", "/console/identity",
  "/console/exports", "/console/exports/new", "/console/exports/schedules", "/console/exports/destinations",
  "/console/events", "/console/events/rejected", "/console/catalogue", "/console/catalogue/kept_out", "/console/attributes",
  "/console/plugins", "/console/keys", "/console/users", "/console/privacy", `/console/privacy/erasures/${erasure.id}`,
  "/console/privacy/access", "/console/privacy/retention", "/console/privacy/suppressions",
  "/console/jobs", "/console/system", "/console/audit", "/console/account",
]) {
  await open(at);
}
// Every text on the page of whom it is about and of its type of event; on each other kind of page some of them.
for (const [n, text] of payloads.entries()) {
  await open(`/console/profiles/${people[n]}`);
  if (n % 3 === 0) await open(`/console/catalogue/${encodeURIComponent(`t${n}${text}`)}`);
  if (n % 5 === 0) await open(`/console/segments/s${n}`);
  // One of each way out around each of what would run.
  if (n % 7) continue;
  await open(`/console/segments/s${n}/edit`);
  for (const view of ["?view=timeline", "?view=identity", "?view=consent", "?view=segments", "/privacy"]) await open(`/console/profiles/${people[n]}${view}`);
  // What is looked for comes back in the field, and as what was not found.
  await page.goto(`${url}/console/profiles`);
  await page.locator('input[name="type"]').fill(text);
  await page.locator('input[name="value"]').fill(text);
  await page.getByRole("button", { name: "Find", exact: true }).click();
  await page.getByRole("alert").first().waitFor();
}
await browser.close();
console.log(`${payloads.length} texts, ${opened} pages`);
for (const one of [...new Set(wrong)]) console.error(one);
process.exit(wrong.length ? 1 : 0);
