// SPDX-License-Identifier: MIT
//
// make_page PAGE small|big OUT - a report of made-up data, to look at.

import { readFileSync, writeFileSync } from 'node:fs';

import { bigContainer } from './big_fixture';
import { packed, pageWith } from './container_writer';
import { SMALL, makeFixture } from './fixture';

const [page, kind, out] = process.argv.slice(2);
const bytes = kind === 'big' ? bigContainer(1) : makeFixture(SMALL).bytes;
writeFileSync(out, pageWith(readFileSync(page, 'utf8'), packed(bytes)));
