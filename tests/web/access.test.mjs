// For everyone: by keyboard alone, in both themes, in a narrow window, and as axe judges it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { Browser, World, logIn, panel, picture, row, verdict } from "./world.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const world = new World();
let browser;

before(async () => {
  await world.start();
  browser = await Browser.open();
  await world.deploy(1000);
  await world.deployInVain(1001);
});

after(async () => {
  await browser?.close();
  await world.remove();
});

/** Faults that keep somebody from using this part of the page. */
async function faults(page, part = "body") {
  await page.evaluate(axe);
  const { violations } = await page.evaluate((part) => globalThis.axe.run(part), part);
  return violations
    .filter(({ impact }) => ["serious", "critical"].includes(impact))
    .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" | ")}`);
}

/** Presses Tab until the focus is on what is wanted. */
async function tabTo(page, wanted) {
  for (let presses = 0; presses < 200; presses += 1) {
    await page.keyboard.press("Tab");
    if (await wanted.evaluate((element) => element === document.activeElement)) return;
  }
  assert.fail(`no number of tabs leads to ${wanted}`);
}

for (const colorScheme of ["light", "dark"]) {
  for (const width of [360, 1280]) {
    test(`axe finds no serious fault, ${colorScheme}, ${width} px`, async () => {
      const page = await browser.page(world, { colorScheme, viewport: { width, height: 900 } });
      const name = `${colorScheme}-${width}`;
      await page.goto(world.url);
      await panel(page, "At a glance").getByText("Leases active").waitFor();
      await picture(page, `public-${name}`);
      assert.deepEqual(await faults(page), [], "the public view");
      await logIn(page, world);
      await row(page, "Leases", 1000).filter({ hasText: "running" }).waitFor();
      await panel(page, "Capacity").getByText("node-a").first().waitFor();
      await picture(page, `page-${name}`);
      assert.deepEqual(await faults(page), [], "the operator's view");
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= width, `the page is ${wide} px wide`);
      await row(page, "Orders funnel", 1001).getByRole("link", { name: /^Decision/ }).click();
      await page.getByRole("dialog").locator(".hints").waitFor();
      await picture(page, `decision-${name}`);
      assert.deepEqual(await faults(page, "dialog"), [], "a decision");
      await page.keyboard.press("Escape");
      await page.getByRole("button", { name: "Pause bidding" }).click();
      assert.deepEqual(await faults(page, "dialog"), [], "the switch");
      await page.done();
    });
  }
}

test("by keyboard alone one logs in, opens a decision, pauses and resumes", async () => {
  const page = await browser.page(world);
  await page.goto(world.url);
  await verdict(page).filter({ hasText: /bidding/i }).waitFor();
  await tabTo(page, page.getByRole("button", { name: "Log in" }));
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.type(world.token);
  await page.keyboard.press("Enter");
  const link = row(page, "Orders funnel", 1001).getByRole("link", { name: /^Decision/ });
  await link.waitFor();

  await tabTo(page, link);
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").locator(".hints").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.ok(await link.evaluate((element) => element === document.activeElement), "the focus is lost");

  await tabTo(page, page.getByRole("button", { name: "Pause bidding" }));
  await page.keyboard.press("Enter");
  await page.getByLabel("Reason").waitFor();
  await page.keyboard.type("by keyboard");
  await page.keyboard.press("Enter");
  await verdict(page).filter({ hasText: /paused/i }).waitFor();
  await tabTo(page, page.getByRole("button", { name: "Resume bidding" }));
  await page.keyboard.press("Enter");
  await verdict(page).filter({ hasText: /bidding/i }).waitFor();
  await page.done();
});

test("only the verdict speaks up by itself", async () => {
  const page = await browser.page(world);
  await logIn(page, world);
  const live = await page.locator("[aria-live], [role=status]").evaluateAll((found) => found.map((one) => one.className));
  assert.deepEqual(live, ["verdict-why"]);
  await page.done();
});

test("a state has a shape and a word, not a colour alone", async () => {
  const page = await browser.page(world);
  await logIn(page, world);
  await row(page, "Leases", 1000).waitFor();
  const marks = await page.locator(".mark").evaluateAll((found) =>
    found.map((mark) => ({ shape: mark.querySelector("svg path")?.getAttribute("d"), text: mark.textContent.trim() })),
  );
  assert.ok(marks.length > 5);
  for (const { shape, text } of marks) assert.ok(shape && text, JSON.stringify({ shape, text }));
  await page.done();
});
