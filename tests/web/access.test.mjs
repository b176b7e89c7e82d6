// For everyone: by keyboard alone, in both themes, in a narrow window, and as axe judges it.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { Browser, World, logIn, panel, picture, row, say, verdict } from "./world.mjs";

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
      await page.getByRole("button", { name: "Log in" }).click();
      await page.getByLabel("Operator's token").waitFor();
      assert.deepEqual(await faults(page, "dialog"), [], "the login");
      await logIn(page, world);
      await row(page, "Leases", 1000).filter({ hasText: "running" }).waitFor();
      await panel(page, "Capacity").getByText("node-a").first().waitFor();
      await picture(page, `page-${name}`);
      assert.deepEqual(await faults(page), [], "the operator's view");
      const wide = await page.evaluate(() => document.documentElement.scrollWidth);
      assert.ok(wide <= width, `the page is ${wide} px wide`);
      await page.getByRole("button", { name: "Backfill dev" }).click();
      await page.getByLabel("From block").waitFor();
      assert.deepEqual(await faults(page, "dialog"), [], "a backfill");
      await page.keyboard.press("Escape");
      await row(page, "Orders funnel", 1001).getByRole("link", { name: /^Decision/ }).click();
      await page.getByRole("dialog").locator(".hints").waitFor();
      await picture(page, `decision-${name}`);
      assert.deepEqual(await faults(page, "dialog"), [], "a decision");
      await page.keyboard.press("Escape");
      await page.getByRole("button", { name: "Pause bidding" }).click();
      assert.deepEqual(await faults(page, "dialog"), [], "the switch");
      await page.keyboard.press("Escape");

      await page.evaluate(() => void (globalThis.quiet = true));
      const missing = ["streams", "funnel", "orders", "leases", "inventory", "deadlines", "stuck", "maintenance"];
      await say(page, "heartbeat", { missing });
      await page.locator(".panel-capacity[data-stale=yes]").waitFor();
      assert.equal(await page.locator(".panel:not([data-stale=yes])").count(), 0);
      await picture(page, `stale-${name}`);
      assert.deepEqual(await faults(page), [], "a page that is old");

      await page.goto(`${world.url}/docs`);
      await page.locator("#operations-operator-listOrders").waitFor();
      await picture(page, `docs-${name}`);
      assert.deepEqual(await faults(page), [], "the viewer");
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
  assert.deepEqual(live, ["verdict-live"]);
  // The word itself is read out when it changes, and the element that speaks stays the same one.
  const speaks = page.locator("[role=status]");
  await page.evaluate(() => void (globalThis.speaker = document.querySelector("[role=status]")));
  await speaks.getByText(/^bidding$/i).waitFor();
  await page.getByRole("button", { name: "Pause bidding" }).click();
  await page.getByLabel("Reason").fill("to be heard");
  await page.getByRole("button", { name: "Stop bidding" }).click();
  await speaks.getByText(/^paused$/i).waitFor();
  assert.ok(await page.evaluate(() => globalThis.speaker.isConnected), "the live region was replaced");
  await page.getByRole("button", { name: "Resume bidding" }).click();
  await speaks.getByText(/^bidding$/i).waitFor();
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
