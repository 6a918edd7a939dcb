// What all tests of the suite share: the browser, and the addresses of the gateways.

import { after, before } from "node:test";
import { launch } from "./browser.mjs";

export const OPEN = process.env.CONSOLE_URL;
export const LOCKED = process.env.CONSOLE_LOCKED_URL;
export const KEY = process.env.CONSOLE_KEY;
export const shared = {};

before(async () => { shared.browser = await launch(); });
after(async () => { await shared.browser?.close(); });
