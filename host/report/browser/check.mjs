// Opens a report in a headless Chromium and does with it what a person does:
// filter, click, compare, follow a link; then has axe-core look for what keeps
// people out. Usage: node check.mjs REPORT.html SCREENSHOTS
import { chromium } from "playwright-core";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [file, shots] = process.argv.slice(2);
const url = pathToFileURL(file).href;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
let failed = 0;
const check = (ok, what) => {
  console.log((ok ? "ok      " : "not ok  ") + what);
  if (!ok) failed++;
};

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"] });
for (const colorScheme of ["light", "dark"]) {
  const context = await browser.newContext({ colorScheme, viewport: { width: 1500, height: 900 } });
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", e => errors.push(String(e)));
  page.on("request", q => { if (!q.url().startsWith("file:")) errors.push("asks for " + q.url()); });
  const start = Date.now();
  await page.goto(url);
  await page.waitForSelector("td");
  const opened = Date.now() - start;
  console.log(`${colorScheme}: opened in ${opened} ms`);
  check(opened < 1000, "opens in under 1 s");
  const size = await page.evaluate(() => [R.cases.length, R.kernels.length, document.querySelectorAll("td").length]);
  check(size[2] === size[0] * size[1], `a cell for each of ${size[0]} cases on ${size[1]} kernels`);

  const filtered = await page.evaluate(() => {
    const f = document.getElementById("fcase"), t = performance.now();
    f.value = "ack/";
    f.dispatchEvent(new Event("input"));
    document.body.offsetHeight; // the layout counts
    return performance.now() - t;
  });
  console.log(`${colorScheme}: filtered in ${filtered.toFixed(1)} ms`);
  check(filtered < 100, "filters in under 100 ms");
  check(await page.evaluate(() => rows.every((r, i) => r.hidden !== R.cases[i].name.includes("ack/"))), "shows the cases that fit");
  check(/of \d+ cases/.test(await page.textContent("#live")), "says how many are left");
  await page.fill("#fcase", "");
  await page.check("#fchange");
  const changed = await page.evaluate(() => {
    const i = rows.findIndex(r => !r.hidden), c = R.cases[i].cells, a = c.findIndex(x => x.class === "A"), b = c.findIndex(x => x.class === "B");
    return { i, a, b, name: R.cases[i].name };
  });
  const cell = k => page.locator(`tr[data-i="${changed.i}"] td`).nth(k);
  await cell(changed.a).click();
  check((await page.textContent("#panel h2")) === changed.name, "a click shows the exchange");
  check((await page.textContent("#panel")).includes("nlrig run -k "), "and the command that plays it again");
  await cell(changed.b).click({ modifiers: ["Shift"] });
  check(await page.locator("#diff .add, #diff .del").count() > 0, "a second one shows what differs");
  await page.screenshot({ path: `${shots}/${colorScheme}-diff.png` });
  const link = page.url();
  const other = await context.newPage();
  await other.goto(link);
  check(await other.locator("#diff").count() === 1, "the address leads back to both");
  await other.close();
  await page.keyboard.press("Escape");
  check(!(await page.isVisible("#panel")), "Escape closes");
  await page.uncheck("#fchange");
  await page.evaluate(() => focusCell(td(0, 0)));
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Enter");
  check((await page.textContent("#panel h2")) === await page.evaluate(() => R.cases[1].name), "arrows and Enter do what clicks do");
  await page.screenshot({ path: `${shots}/${colorScheme}.png` });
  await page.evaluate(axe);
  const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  const serious = found.violations.filter(v => v.impact === "serious" || v.impact === "critical");
  for (const v of found.violations) console.log(`axe: ${v.impact}: ${v.id}: ${v.help} (${v.nodes.length}) ${v.nodes[0].html.slice(0, 150)}`);
  check(serious.length === 0, "axe-core has no serious finding");
  check(errors.length === 0, "no error and no request: " + errors.join("; "));
  await context.close();
}
await browser.close();
process.exit(failed ? 1 : 0);
