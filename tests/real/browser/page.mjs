// The page of a watch in Chromium: what is wrong with it for people, how soon it is painted, and pictures of it.
//   node page.mjs URL FOLDER NAME [LOADS]
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const [url, folder, name, loads = "1"] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const views = [
  { name: "light", viewport: { width: 1280, height: 900 }, colorScheme: "light" },
  { name: "dark", viewport: { width: 1280, height: 900 }, colorScheme: "dark" },
  { name: "phone", viewport: { width: 390, height: 844 }, colorScheme: "light", deviceScaleFactor: 1 },
];
const found = { errors: [], foreign: [], violations: [], painted_ms: [], unfolded_painted_ms: [], line_painted_ms: [],
  unfolded: null, wide: [], focus: [], script_free: "" };

for (const { name: kind, ...options } of views) {
  // The policy of the page forbids what axe does; pictures and errors are of the page as it is.
  const context = await browser.newContext({ ...options, reducedMotion: "reduce" });
  const page = await context.newPage();
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && found.errors.push(message.text()));
  page.on("pageerror", (error) => found.errors.push(String(error)));
  page.on("request", (request) => new URL(request.url()).origin === new URL(url).origin || found.foreign.push(request.url()));
  await page.goto(url, { waitUntil: "load" });
  // At least one update by the script.
  await page.waitForTimeout(kind === "light" ? 6000 : 300);
  await page.screenshot({ path: `${folder}/${name}-${kind}.png` });
  const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (over > 0) found.wide.push(`${kind}: ${over} px wider than the screen`);
  if (kind === "light") {
    // By keyboard: where the focus goes can be seen everywhere.
    let steps = 0;
    for (; steps < 12; steps += 1) {
      await page.keyboard.press("Tab");
      // After the last of them comes the browser itself.
      if (await page.evaluate(() => document.activeElement === document.body)) break;
      const focus = await page.evaluate(() => {
        const one = document.activeElement;
        const box = one.getBoundingClientRect();
        const style = getComputedStyle(one);
        const seen = box.width > 0 && box.left >= 0 && style.outlineStyle !== "none";
        return { what: `${one.tagName} ${one.textContent.trim().slice(0, 30)}`, seen };
      });
      if (!focus.seen) found.focus.push(focus.what);
    }
    if (steps < 8) found.focus.push(`${steps} places only`);
  }
  await context.close();

  const checked = await browser.newContext({ ...options, bypassCSP: true });
  const twin = await checked.newPage();
  await twin.goto(url, { waitUntil: "load" });
  await twin.evaluate(axe);
  const result = await twin.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  for (const violation of result.violations) {
    found.violations.push(`${kind}: ${violation.id}: ${violation.help}: ${violation.nodes[0].html.slice(0, 200)}`);
  }
  await checked.close();
}

// A check with many lines has them once it is unfolded, by keyboard too, and the page asks on for them.
const unfolding = await browser.newContext({ viewport: { width: 1280, height: 900 } });
const reader = await unfolding.newPage();
await reader.goto(url, { waitUntil: "load" });
const folded = await reader.$$eval("details[data-check]:not([open])", (all) => all.map((one) => one.dataset.check));
if (folded.length > 0) {
  const group = reader.locator(`details[data-check="${folded[0]}"]`);
  await group.locator("summary").focus();
  await reader.keyboard.press("Enter");
  await group.locator("tbody tr").first().waitFor();
  const rows = await group.locator("tbody tr").count();
  await reader.waitForTimeout(6000);
  const later = await group.locator("tbody tr").count();
  const focused = await reader.evaluate(() => document.activeElement.tagName);
  await reader.screenshot({ path: `${folder}/${name}-unfolded.png` });
  found.unfolded = { check: folded[0], rows, later, focused };
}
await unfolding.close();

const plain = await browser.newContext({ javaScriptEnabled: false });
const still = await plain.newPage();
await still.goto(url, { waitUntil: "load" });
found.script_free = await still.textContent("h1");
await plain.close();

const painted = async (address) => {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await context.newPage();
  await page.goto(address, { waitUntil: "load" });
  // What is asked of a page is a script of its own, which would be in the way of what is painted.
  let at;
  for (let tries = 0; at === undefined && tries < 20; tries += 1) {
    await page.waitForTimeout(500);
    at = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime);
  }
  await context.close();
  return at ?? null;
};
for (let load = 0; load < Number(loads); load += 1) {
  found.painted_ms.push(await painted(url));
  // With the lines of every check that stands folded up.
  found.unfolded_painted_ms.push(await painted(new URL(`/?${new URLSearchParams(folded.map((check) => ["unfold", check]))}`, url).href));
  // What the browser itself takes on this machine: a line of plain text of the same server.
  found.line_painted_ms.push(await painted(new URL("/healthz", url).href));
}
await browser.close();
console.log(JSON.stringify(found));
