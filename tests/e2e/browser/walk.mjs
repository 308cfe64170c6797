// Walks the console in Chromium: every page at two widths, light and dark, and what people do in it; then the
// documentation.
//
//   node walk.mjs '{"url": …, "link": …, "modules": …, "chromium": …, "plugin": …, "steps": …, "docs": […], "shots": …, "pictures": …}'
//
// `url` is the server's, `link` opens the console signed in, `modules` holds playwright-core and axe-core, `plugin` is a
// component, `steps` is a file with what the page for newcomers says to do, `docs` are the addresses of the documentation;
// `shots` and `pictures` are folders, for a screenshot of everything and for the six of the README.
// Prints a line for every part and ends with 1 where something is wrong: an error in the browser's console, a request to
// another machine, a report of the content security policy, a page that is too wide, or a serious violation that axe finds.
import { createRequire } from "node:module";
import { readFileSync, mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";

const { url, link, modules, chromium: executablePath, plugin, steps, docs, shots, pictures } = JSON.parse(process.argv[2]);
const require = createRequire(path.join(modules, "package.json"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const wrong = [];
const began = Date.now();
const say = (line) => console.log(`${((Date.now() - began) / 1000).toFixed(1)} s: ${line}`);
const check = (holds, what) => {
  if (!holds) wrong.push(what);
};
for (const folder of [shots, pictures]) if (folder) mkdirSync(folder, { recursive: true });

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
const wide = { width: 1360, height: 900 };
const narrow = { width: 390, height: 844 };
const views = [
  ["desktop light", { viewport: wide, colorScheme: "light" }],
  ["desktop dark", { viewport: wide, colorScheme: "dark" }],
  ["phone light", { viewport: narrow, colorScheme: "light" }],
  ["phone dark", { viewport: narrow, colorScheme: "dark" }],
];

// One session for all: the link works once.
const first = await browser.newContext(views[0][1]);
const watch = (page, where) => {
  // What another view watches counts there; a report of the policy is an error in the console.
  page.on("console", (message) => check(message.type() !== "error", `${where()}: ${message.text()}`));
  page.on("pageerror", (error) => wrong.push(`${where()}: ${error.message}`));
  page.on("dialog", (dialog) => {
    wrong.push(`${where()}: a dialog opened: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("request", (request) => check(request.url().startsWith(url) || request.url().startsWith("data:"), `${where()} asks for ${request.url()}`));
};
const page = await first.newPage();
watch(page, () => page.url());
page.setDefaultTimeout(30_000);
await page.goto(link);
check(new URL(page.url()).pathname === "/console", `the link led to ${page.url()}`);
const cookies = await first.cookies();
const session = cookies.find((cookie) => cookie.name === "__Host-cdp_session");
check(session && session.httpOnly && session.secure, "the session's cookie is HttpOnly and Secure");

// A picture for the README: what is in sight, as WebP.
const picture = async (name) => {
  if (!pictures) return;
  // What is under way reloads the page when it is over.
  await page.waitForTimeout(1500);
  await page.waitForLoadState();
  const client = await first.newCDPSession(page);
  const { data } = await client.send("Page.captureScreenshot", { format: "webp", quality: 82 });
  writeFileSync(path.join(pictures, `${name}.webp`), Buffer.from(data, "base64"));
  await client.detach();
};

// What a newcomer does, as the page for them says it: by what things are called.
const settled = async () => {
  await page.waitForTimeout(200);
  await page.waitForFunction(() => !document.querySelector("form[aria-busy]"));
};
const pressed = (name) => page.getByRole("link", { name, exact: true }).or(page.getByRole("button", { name, exact: true })).first();
let file = "";
for (const [what, name, value] of JSON.parse(readFileSync(steps, "utf8"))) {
  if (what === "press" && name === "Save segment") await picture("segment-builder");
  if (what === "press" && name === "Download") {
    await picture("export");
    const [download] = await Promise.all([page.waitForEvent("download"), pressed(name).click()]);
    file = readFileSync(await download.path(), "utf8");
  } else if (what === "press") {
    await pressed(name).click();
    await settled();
  } else if (what === "set") {
    const field = page.getByLabel(name, { exact: true }).last();
    await field.waitFor();
    if ((await field.evaluate((one) => one.tagName)) === "SELECT") {
      await field.selectOption({ label: value });
    } else {
      await field.fill(value);
      await field.blur();
    }
    await settled();
  } else if (what === "tick") {
    await page.getByLabel(name, { exact: true }).last().check();
    await settled();
  } else {
    await page.waitForFunction((words) => document.body.innerText.replace(/\s+/g, " ").includes(words), name);
  }
}
const run = new URL(page.url()).pathname;
const rows = file.trim().split("\n").length - 1;
check(rows === 208, `the export has ${rows} rows`);
say(`newcomer: an audience of ${rows} people, by what the page says`);

// What a developer does: a plugin is taken in, activated, ordered, and rolled back; whose are taken.
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
await page.goto(`${url}/console/plugins`);
await page.getByLabel("Whose key").fill("Maker");
await page.getByLabel("Public key").fill("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
await page.getByRole("button", { name: "Trust this key" }).click();
await page.getByText(/Whose plugins are taken is changed/).waitFor();
say("plugin: uploaded, activated, rolled back; a maker is trusted");

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

// What an admin does: somebody is restricted and released, somebody else is erased, and the rules of identity are tried.
await page.goto(`${url}/console/privacy`);
await page.locator('input[name="who_type"]').fill("customer_id");
await page.locator('input[name="who_value"]').fill("12347");
await page.locator('textarea[name="who_reason"]').fill("request 1");
await page.getByRole("button", { name: "Restrict", exact: true }).click();
await page.getByText(/They are restricted/).waitFor();
await page.locator('input[name="type"]').fill("customer_id");
await page.locator('input[name="value"]').fill("12348");
await page.getByRole("button", { name: "See what it comprises" }).click();
await page.getByText(/It cannot be undone/).waitFor();
await page.locator('textarea[name="reason"]').fill("request 2");
await page.getByRole("button", { name: "Erase for ever" }).click();
await page.waitForURL(/privacy\/erasures\//);
const erasure = new URL(page.url()).pathname;
await page.getByRole("link", { name: "Certificate" }).waitFor();
await page.goto(`${url}/console/identity`);
await page.getByRole("button", { name: "See what it would change" }).click();
await page.getByText(/What these rules would change/).waitFor();
say("rights: restricted, erased with a certificate; rules were tried");

// What is held about somebody is put together and downloaded; a suppression is lifted; it is seen what a rule on how long
// events are kept would remove, and another one is set, by which nothing is over.
await page.goto(`${url}/console/privacy/access`);
await page.locator('input[name="ask_type"]').fill("customer_id");
await page.locator('input[name="ask_value"]').fill("12347");
await page.getByRole("button", { name: "Put it together" }).click();
await page.waitForURL(/privacy\/access\/job_/);
const request = new URL(page.url()).pathname;
const given = page.getByRole("link", { name: "Download", exact: true });
await given.waitFor();
const [held] = await Promise.all([page.waitForEvent("download"), given.click()]);
check(JSON.parse(readFileSync(await held.path(), "utf8")).format === "cdp-access/1", "what is held is a document");
await page.goto(`${url}/console/privacy/suppressions`);
const suppressions = page.locator('main a[href^="/console/privacy/suppressions/sup_"]');
const suppression = await suppressions.nth(1).getAttribute("href");
await suppressions.first().click();
await page.locator('textarea[name="reason"]').fill("request 3");
await page.getByRole("button", { name: "Lift", exact: true }).click();
await page.getByText(/The suppression is lifted/).waitFor();
const rule = async (days, derived) => {
  await page.goto(`${url}/console/privacy/retention`);
  await page.locator('input[name="type"]').fill("Order Completed");
  await page.locator('input[name="days"]').fill(days);
  await page.locator(`input[name="derived"][value="${derived}"]`).check();
  await page.getByRole("button", { name: "See what goes" }).click();
  await page.waitForURL(/retention\/previews\/job_/);
};
await rule("30", "decayed");
await page.getByRole("button", { name: /^Remove [0-9,]+ events for good$/ }).waitFor();
const counted = new URL(page.url()).pathname;
await rule("36500", "frozen");
await page.getByRole("button", { name: "Set the rules" }).click();
await page.getByText(/The rules are in force/).waitFor();
say("rights: a document was given, a suppression lifted, and a rule set after it was shown what goes");

// The pages of the README that are not in sight on the way.
for (const [name, at] of [
  ["overview", "/console"],
  ["profile", `${person}?view=identity`],
  ["event", event],
  ["plugin", "/console/plugins/country-code"],
]) {
  if (!pictures) break;
  await page.goto(`${url}${at}`);
  await picture(name);
}

const pages = [
  ["overview", "/console"],
  ["segments", "/console/segments"],
  ["segment", "/console/segments/big_spenders"],
  ["builder-edit", "/console/segments/reachable_big_spenders/edit"],
  ["profiles", "/console/profiles"],
  ["profile", person],
  ["timeline", `${person}?view=timeline`],
  ["profile-identity", `${person}?view=identity`],
  ["consent", `${person}?view=consent`],
  ["person-segments", `${person}?view=segments`],
  ["disclosures", `${person}?view=disclosures`],
  ["profile-privacy", `${person}/privacy`],
  ["identity", "/console/identity"],
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
  ["privacy", "/console/privacy"],
  ["erasure", erasure],
  ["access", "/console/privacy/access"],
  ["access-request", request],
  ["suppressions", "/console/privacy/suppressions"],
  ["suppression", suppression],
  ["retention", "/console/privacy/retention"],
  ["retention-counted", counted],
  ["jobs", "/console/jobs"],
  ["system", "/console/system"],
  ["audit", "/console/audit"],
  ["account", "/console/account"],
];

// Opens a page in a view and looks at it; `judged` has axe look too.
const look = async (tab, view, name, at, { status = 200, judged = true } = {}) => {
  const answered = await tab.goto(`${url}${at}`);
  check(answered.status() === status, `${view}, ${at}: ${answered.status()}`);
  const over = await tab.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(over <= 1, `${view}, ${at} is ${over} pixels too wide`);
  if (shots) await tab.screenshot({ path: path.join(shots, `${name}-${view.replace(" ", "-")}.png`), fullPage: true });
  if (!judged) return;
  await tab.evaluate(axe);
  const found = await tab.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  for (const one of found.violations.filter((one) => ["serious", "critical"].includes(one.impact))) {
    wrong.push(`${view}, ${at}: ${one.id}: ${one.help}: ${one.nodes[0].html.slice(0, 160)}`);
  }
};

// axe judges each page in both widths and both themes: in two of the four views.
for (const [turn, [view, options]] of views.entries()) {
  const context = await browser.newContext(options);
  await context.addCookies(cookies);
  const tab = await context.newPage();
  let here = "";
  watch(tab, () => `${view}, ${here}`);
  for (const [n, [name, at]] of pages.entries()) {
    here = at;
    const judged = n % 2 ? turn === 1 || turn === 2 : turn === 0 || turn === 3;
    await look(tab, view, name, at, { judged });
  }
  const kept = await tab.evaluate(() => [localStorage.length, sessionStorage.length]);
  check(kept[0] === 0 && kept[1] === 0, `${view}: something is kept in the browser`);
  say(`${view}: ${pages.length} pages`);
  await context.close();
}

// The documentation: wide and light, narrow and dark, for somebody who is not signed in. Its pages are made by one
// template: axe judges each of them in one of the two views.
for (const [turn, [view, options]] of [views[0], views[3]].entries()) {
  const context = await browser.newContext(options);
  const tab = await context.newPage();
  let here = "";
  const missing = "/docs/start-here/no-such-page";
  watch(tab, () => `${view}, ${here}`);
  for (const [n, at] of docs.entries()) {
    here = at;
    await look(tab, view, `docs${at.slice(5).replaceAll("/", "-")}`, at, { judged: n % 2 === turn });
  }
  await context.close();
  // The browser itself writes an error for a page that is not there.
  const lost = await browser.newContext(options);
  await look(await lost.newPage(), view, "docs-missing", missing, { status: 404 });
  await lost.close();
  say(`${view}: ${docs.length} pages of documentation`);
}
await browser.close();
for (const one of [...new Set(wrong)]) console.error(one);
process.exit(wrong.length ? 1 : 0);
