// What the browser tests share: Chromium, axe-core, pictures, and the count of what failed.
//
// playwright-core and axe-core are found in the folder LABWIRE_NODE; CHROMIUM names the browser.
// Pictures go to LABWIRE_SHOTS, where that is set.
import { createRequire } from "node:module";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const require = createRequire(join(process.env.LABWIRE_NODE ?? import.meta.dirname, "package.json"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const shots = process.env.LABWIRE_SHOTS;

export async function open() {
  if (shots) mkdirSync(shots, { recursive: true });
  const failures = [];
  const check = (is, what) => { if (!is) { failures.push(what); console.error(`FAILED ${what}`); } };
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-dev-shm-usage"],
  });
  const context = await browser.newContext({ viewport: { width: 1280, height: 720 }, locale: "vi-VN" });
  const page = await context.newPage();
  page.on("console", (message) => {
    if (message.type() === "error" && !/status of 4\d\d/.test(message.text())) {
      check(false, `a page complained: ${message.text()}`);
    }
  });
  page.on("pageerror", (error) => check(false, `a script failed: ${error.message}`));

  const shot = async (name, options = {}) => {
    if (shots) await page.screenshot({ path: join(shots, `${name}.png`), ...options });
  };

  const accessible = async (name) => {
    // axe is put in by the browser itself; the page's policy keeps all other scripts out.
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => globalThis.axe.run(document, {
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }));
    for (const one of violations) {
      const where = one.nodes.slice(0, 3).map((node) => `${node.target.join(" ")}: ${node.failureSummary}`);
      check(false, `${name}: ${one.id} (${one.impact}) ${one.help}\n  ${where.join("\n  ")}`);
    }
  };

  const like = async (address, language, theme) => {
    await page.goto(`${address}/me`);
    await page.check(`input[name=language][value=${language}]`);
    await page.check(`input[name=theme][value=${theme}]`);
    await page.click(".stack button");
    await page.waitForSelector(`html[lang=${language}][data-theme=${theme}]`);
  };

  const finish = async () => {
    await browser.close();
    console.log(`${failures.length === 0 ? 1 : 0} passed, ${failures.length} failed`);
    return failures.length === 0 ? 0 : 1;
  };
  return { context, page, check, shot, accessible, like, finish };
}
