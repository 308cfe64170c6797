// Walks the console in Chromium: every page at two widths, light and dark, and what people do in it.
//
//   node walk.mjs URL LINK MODULES CHROMIUM PLUGIN [SCREENSHOTS]
//
// URL is the server's, LINK opens the console signed in, MODULES holds playwright-core and axe-core, PLUGIN is a component.
// Prints a line for every page and ends with 1 at the first thing that is wrong: an error in the browser's console, a
// request to another machine, a report of the content security policy, or a serious violation that axe finds.
import { createRequire } from "node:module";
import { readFileSync, mkdirSync } from "node:fs";
import path from "node:path";

const [url, link, modules, executablePath, plugin, shots] = process.argv.slice(2);
const require = createRequire(path.join(modules, "package.json"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const wrong = [];
const say = (line) => console.log(line);
const check = (holds, what) => {
  if (!holds) wrong.push(what);
};

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const views = [
  ["desktop light", { viewport: { width: 1360, height: 900 }, colorScheme: "light" }],
  ["desktop dark", { viewport: { width: 1360, height: 900 }, colorScheme: "dark" }],
  ["phone light", { viewport: { width: 390, height: 844 }, colorScheme: "light" }],
  ["phone dark", { viewport: { width: 390, height: 844 }, colorScheme: "dark" }],
];

// One session for all: the link works once.
const first = await browser.newContext(views[0][1]);
const watch = (page, where) => {
  page.on("console", (message) => check(message.type() !== "error", `${where()}: ${message.text()}`));
  page.on("pageerror", (error) => wrong.push(`${where()}: ${error.message}`));
  page.on("request", (request) => check(request.url().startsWith(url) || request.url().startsWith("data:"), `${where()} asks for ${request.url()}`));
};
const page = await first.newPage();
watch(page, () => page.url());
await page.goto(link);
check(new URL(page.url()).pathname === "/console", `the link led to ${page.url()}`);
const cookies = await first.cookies();
const session = cookies.find((cookie) => cookie.name === "__Host-cdp_session");
check(session && session.httpOnly && session.secure, "the session's cookie is HttpOnly and Secure");

// What a marketer does: a segment, one of its members, an export.
const settled = () => page.waitForFunction(() => !document.querySelector("form[aria-busy]"));
const edit = async (selector, value) => {
  await page.locator(selector).fill(value);
  await page.locator(selector).blur();
  await page.waitForTimeout(200);
  await settled();
};
const choose = async (selector, value) => {
  await page.locator(selector).selectOption(value);
  await page.waitForTimeout(200);
  await settled();
};
const add = async (kind) => {
  await page.locator('select[name="r.add"]').selectOption(kind);
  await page.locator('button[value="add:r"]').click();
  await page.waitForTimeout(100);
  await settled();
};
await page.goto(`${url}/console/segments/+new`);
await page.locator('input[name="title"]').fill("Large orders, reachable");
await page.locator('input[name="name"]').fill("large_orders");
await add("did");
await edit('input[name="r.0.event"]', "Order Completed");
await choose('select[name="r.0.when"]', "between");
await edit('input[name="r.0.from"]', "2011-09-10");
await edit('input[name="r.0.to"]', "2011-12-10");
await page.locator('button[value="where:r.0"]').click();
await page.locator('input[name="r.0.w0.property"]').waitFor();
await edit('input[name="r.0.w0.property"]', "/revenue");
await edit('input[name="r.0.w0.value"]', "500");
await add("did");
await page.locator('input[name="r.1.event"]').waitFor();
await edit('input[name="r.1.event"]', "Order Completed");
await choose('select[name="r.1.when"]', "between");
await edit('input[name="r.1.from"]', "2011-11-10");
await edit('input[name="r.1.to"]', "2011-12-10");
await page.locator('input[name="r.1.not"]').check();
await page.waitForTimeout(300);
await settled();
await add("reachable");
await page.locator('input[name="r.2.channel"]').waitFor();
await edit('input[name="r.2.channel"]', "email");
await choose('select[name="r.2.purpose"]', "marketing");
await page.waitForTimeout(300);
await settled();
const total = Number((await page.locator(".total").textContent()).replaceAll(",", ""));
check(total > 0, `the builder counts ${total}`);
say(`builder: ${total} people`);
if (shots) await page.screenshot({ path: path.join(shots, "builder.png"), fullPage: true });
await page.locator('button[value="save"]').click();
await page.waitForURL(/segments\/large_orders/);
await page.waitForFunction((total) => document.querySelector(".figure .value")?.textContent.replaceAll(",", "") === String(total), total);
await page.getByRole("link", { name: "Why?" }).first().click();
await page.getByText(/belongs to “Large orders, reachable”/).first().waitFor();
await page.goto(`${url}/console/exports/new?segment=large_orders`);
await page.getByRole("button", { name: "Show the first rows" }).click();
await page.getByRole("heading", { name: "The first rows" }).waitFor();
await page.getByRole("button", { name: "Begin the export" }).click();
await page.getByRole("link", { name: "Download" }).waitFor();
const run = new URL(page.url()).pathname;
const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("link", { name: "Download" }).click()]);
const rows = readFileSync(await download.path(), "utf8").trim().split("\n").length - 1;
check(rows === total, `the export has ${rows} rows, the builder counted ${total}`);
say(`export: ${rows} rows`);

// What a developer does: a plugin is taken in, activated, and rolled back.
await page.goto(`${url}/console/plugins`);
await page.locator('input[name="name"]').fill("country-code");
await page.locator('input[name="file"]').setInputFiles(plugin);
await page.getByRole("button", { name: "Upload" }).click();
await page.waitForURL(/plugins\/country-code/);
await page.getByRole("button", { name: "Activate" }).click();
await page.getByText(/Activated/).waitFor();
await page.goto(`${url}/console/plugins/country-code`);
await page.locator("summary", { hasText: "Roll back" }).click();
await page.getByRole("button", { name: "Yes, roll back" }).click();
await page.getByText(/Rolled back/).waitFor();
say("plugin: uploaded, activated, rolled back");

// A person and an event, for their pages.
await page.goto(`${url}/console/profiles`);
await page.locator('input[name="type"]').fill("customer_id");
await page.locator('input[name="value"]').fill("12415");
await page.getByRole("button", { name: "Find", exact: true }).click();
await page.waitForURL(/profiles\/prf_/);
const person = new URL(page.url()).pathname;
check(!page.url().includes("12415"), "what was looked for stands in the address");
await page.goto(`${url}${person}?view=timeline`);
const event = await page.locator('a[href^="/console/events/at/"]').first().getAttribute("href");

const pages = [
  ["overview", "/console"],
  ["segments", "/console/segments"],
  ["segment", "/console/segments/big_spenders"],
  ["builder-edit", "/console/segments/reachable_big_spenders/edit"],
  ["profiles", "/console/profiles"],
  ["profile", person],
  ["timeline", `${person}?view=timeline`],
  ["identity", `${person}?view=identity`],
  ["consent", `${person}?view=consent`],
  ["person-segments", `${person}?view=segments`],
  ["disclosures", `${person}?view=disclosures`],
  ["exports", "/console/exports"],
  ["export-new", "/console/exports/new?segment=big_spenders"],
  ["export-run", run],
  ["schedules", "/console/exports/schedules"],
  ["destinations", "/console/exports/destinations"],
  ["channels", "/console/channels"],
  ["live", "/console/events"],
  ["event", event],
  ["rejected", "/console/events/rejected"],
  ["catalogue", "/console/catalogue"],
  ["event-type", "/console/catalogue/Order%20Completed"],
  ["attributes", "/console/attributes"],
  ["attribute", "/console/attributes/total_spend"],
  ["plugins", "/console/plugins"],
  ["plugin", "/console/plugins/country-code"],
  ["plugin-try", "/console/plugins/country-code/try"],
  ["keys", "/console/keys"],
  ["users", "/console/users"],
  ["jobs", "/console/jobs"],
  ["system", "/console/system"],
  ["audit", "/console/audit"],
  ["account", "/console/account"],
];
if (shots) mkdirSync(shots, { recursive: true });
for (const [view, options] of views) {
  const context = await browser.newContext(options);
  await context.addCookies(cookies);
  const tab = await context.newPage();
  let here = "";
  watch(tab, () => `${view}, ${here}`);
  for (const [name, at] of pages) {
    here = at;
    const answered = await tab.goto(`${url}${at}`);
    check(answered.status() === 200, `${view}, ${at}: ${answered.status()}`);
    await tab.waitForTimeout(50);
    const wide = await tab.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    check(wide <= 1, `${view}, ${at} is ${wide} pixels too wide`);
    await tab.evaluate(axe);
    const found = await tab.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
    for (const one of found.violations.filter((one) => ["serious", "critical"].includes(one.impact))) {
      wrong.push(`${view}, ${at}: ${one.id}: ${one.help}: ${one.nodes[0].html.slice(0, 160)}`);
    }
    if (shots) await tab.screenshot({ path: path.join(shots, `${name}-${view.replace(" ", "-")}.png`), fullPage: true });
  }
  const kept = await tab.evaluate(() => [localStorage.length, sessionStorage.length]);
  check(kept[0] === 0 && kept[1] === 0, `${view}: something is kept in the browser`);
  say(`${view}: ${pages.length} pages`);
  await context.close();
}
await browser.close();
for (const one of [...new Set(wrong)]) console.error(one);
process.exit(wrong.length ? 1 : 0);
