// A development world for the browser tests: a real `lessor dev`, a real tenant, a real browser.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

const tree = process.env.PAGE_TREE ?? fileURLToPath(new URL("../..", import.meta.url));
const binary = process.env.PAGE_BINARY ?? join(tree, "target/debug/lessor");
const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "lessor");

/** What a browser must not do by itself. */
const CHROMIUM = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

/** The settings of whoever runs the tests are not the world's. */
const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("LESSOR_")));

export const example = (name) => join(tree, "deploy/examples", name);

/** A world with its gateway; the same folder goes on where it was. */
export class World {
  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), "lessor-web-"));
    this.listen = "127.0.0.1:0";
  }

  async start() {
    const args = ["dev", "--data", join(this.folder, "data"), "--listen", this.listen, "--block-interval-ms", "600"];
    this.process = spawn(binary, args, { env: environment, stdio: ["ignore", "pipe", "pipe"] });
    this.said = "";
    this.ended = once(this.process, "exit");
    this.process.stderr.on("data", (text) => void (this.said += text));
    await new Promise((resolve, reject) => {
      this.process.stdout.on("data", (text) => {
        this.said += text;
        if (this.said.includes("tenant")) resolve();
      });
      this.ended.then(([code]) => reject(new Error(`lessor dev ended with ${code}:\n${this.said}`)));
    });
    this.url = /gateway +(\S+)/.exec(this.said)[1];
    this.token = /operator token +(\S+)/.exec(this.said)[1];
    this.listen = new URL(this.url).host;
  }

  async stop() {
    this.process.kill("SIGTERM");
    await this.ended;
  }

  /** Stops it where it stands: its connections stay open and nothing comes. */
  hang() {
    this.process.kill("SIGSTOP");
  }

  goOn() {
    this.process.kill("SIGCONT");
  }

  async remove() {
    this.goOn();
    await this.stop();
    rmSync(this.folder, { recursive: true });
  }

  /** What the operator's tools would be answered. */
  async get(path) {
    const response = await fetch(this.url + path, { headers: { authorization: `Bearer ${this.token}` } });
    assert.equal(response.status, 200, path);
    return response.json();
  }

  /** Has the world's chain do something: halt, jump, make blocks at another pace. */
  async chain(what, body) {
    const { node } = await this.get("/dev");
    await post(`${node.replace(/\/$/, "")}/devnet/${what}`, body);
  }

  /** Has something happen to the world's cluster. */
  async cluster(body) {
    const { cluster } = await this.get("/dev");
    await post(`${cluster.replace(/\/$/, "")}/control`, body);
  }

  /** Resolves once the provider bids: a world that has just begun knows neither chain nor cluster. */
  async bids() {
    const until = Date.now() + 60_000;
    for (;;) {
      const { verdict, message } = await this.get("/v1/overview");
      if (verdict === "bidding") return;
      assert.ok(Date.now() < until, `${verdict}: ${message}`);
    }
  }

  /** Runs a tenant's command; `{ code, steps }`. */
  async tenant(...args) {
    const child = spawn(binary, ["tenant", "--url", this.url, "--format", "json", ...args], {
      env: environment,
      stdio: ["ignore", "pipe", "inherit"],
    });
    let text = "";
    child.stdout.on("data", (part) => void (text += part));
    const [code] = await once(child, "close");
    const steps = text.trim().split("\n").filter(Boolean).map((line) => JSON.parse(line));
    return { code, steps };
  }

  /** Deploys and waits until it runs. */
  async deploy(dseq, file = example("web.yaml")) {
    const { code, steps } = await this.tenant("deploy", "--dseq", String(dseq), file);
    assert.equal(code, 0, JSON.stringify(steps.at(-1)));
  }

  /** Deploys what nobody bids on. */
  async deployInVain(dseq, file = example("declined.yaml")) {
    const { code, steps } = await this.tenant("deploy", "--dseq", String(dseq), "--bid-wait", "1", file);
    assert.equal(code, 2, JSON.stringify(steps.at(-1)));
  }

  /** A document of the test's own. */
  write(name, text) {
    const path = join(this.folder, name);
    writeFileSync(path, text);
    return path;
  }
}

async function post(url, body) {
  const headers = { "content-type": "application/json" };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  assert.ok(response.ok, `${url}: ${response.status} ${await response.text()}`);
}

/**
 * Keeps a page's streams where a test finds them: `streams` has every one that was opened; while `quiet`, nothing that the
 * gateway sends is heard, only what a test says in its place.
 */
function keepStreams() {
  globalThis.streams = [];
  globalThis.quiet = false;
  const Real = globalThis.EventSource;
  globalThis.EventSource = class extends Real {
    constructor(url) {
      super(url);
      globalThis.streams.push(this);
    }

    addEventListener(name, listener) {
      super.addEventListener(name, (event) => (globalThis.quiet && event.isTrusted ? undefined : listener(event)));
    }
  };
}

/** Says something to the page in the gateway's place. */
export const say = (page, name, data) =>
  page.evaluate(
    ([name, data]) => globalThis.streams.at(-1).dispatchEvent(new MessageEvent(name, { data })),
    [name, JSON.stringify(data)],
  );

/** The browser, and what it must never do. */
export class Browser {
  static async open() {
    const opened = new Browser();
    opened.chromium = await chromium.launch({
      executablePath: process.env.PAGE_CHROMIUM ?? "/usr/bin/chromium",
      args: CHROMIUM,
    });
    return opened;
  }

  close() {
    return this.chromium.close();
  }

  /** A page of its own, in which every request and every complaint is looked at. */
  async page(world, options = {}) {
    const context = await this.chromium.newContext({ viewport: { width: 1280, height: 900 }, ...options });
    await context.addInitScript(keepStreams);
    if (process.env.PAGE_FILES) await fromTree(context);
    // Whoever waits goes on as soon as it is there; a machine may have other things to do.
    context.setDefaultTimeout(60_000);
    const page = await context.newPage();
    const faults = [];
    const origin = new URL(world.url).origin;
    page.on("request", (request) => {
      if (new URL(request.url()).origin !== origin && !request.url().startsWith("data:")) {
        faults.push(`asked ${request.url()}`);
      }
    });
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) faults.push(`console: ${message.text()}`);
    });
    page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
    return Object.assign(page, {
      faults,
      /** Ends the page; nothing may have gone wrong on it but what is `expected`. */
      async done(expected = /^$/) {
        await context.close();
        assert.deepEqual(faults.filter((fault) => !expected.test(fault)), []);
      },
    });
  }
}

/** With `PAGE_FILES=1` the page's files are the tree's and not the binary's: to try a change without building. */
const fromTree = (context) =>
  context.route("**/assets/*/**", (route) => {
    const path = new URL(route.request().url()).pathname.split("/").slice(3).join("/");
    return route.fulfill({ path: join(tree, "web", path) });
  });

/** Logs in as the operator does. */
export async function logIn(page, world) {
  await page.goto(world.url);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByLabel("Operator's token").fill(world.token);
  await page.keyboard.press("Enter");
  await panel(page, "Event freshness").getByRole("cell").first().waitFor();
}

export const panel = (page, name) => page.getByRole("region", { name, exact: true });

/** The row of a table, by the order that its first cell names. */
export const row = (page, name, dseq) =>
  panel(page, name).getByRole("row").filter({ has: page.locator(`th a:text-is("${dseq}/1/1")`) }).first();

export const verdict = (page) => page.getByRole("heading", { level: 1 });

/** Keeps a picture, for people to look at. */
export async function picture(page, name) {
  const folder = join(cache, "pictures");
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}
