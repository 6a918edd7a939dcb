// All tests of the console in one browser, against a gateway without keys and one with a key; see test_console.py.

import "./pure.mjs";
import "./searching.mjs";
import "./writing.mjs";
import "./access.mjs";
import "./looks.mjs";
