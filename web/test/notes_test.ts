// SPDX-License-Identifier: MIT

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import type { Browser, Page } from 'puppeteer-core';

import { launch, open, showTab } from './browser';
import { type Section, packed, writeContainer } from './container_writer';
import { type Fixture, SMALL, makeFixture } from './fixture';

/** Recordings of which the page has to say more than its figures do. */

const SHAPE = { ...SMALL, blocks: 300, nodes: 30, frames: 20, columns: 32, rows: 16, bins: 8 };
const fixture = makeFixture(SHAPE);

let browser: Browser;

before(async () => {
    browser = await launch();
});

after(async () => {
    await browser.close();
});

interface Change {
    head?: object;
    sections?: Record<string, Section>;
}

/** Opens a report, lets a test look at it, and sees that the page complained of nothing. */
async function withReport(
    made: Fixture,
    change: Change,
    look: (page: Page) => Promise<void>,
): Promise<void> {
    const container = writeContainer(
        { ...made.head, ...change.head },
        { ...made.sections, ...change.sections },
    );
    const { page, complaints } = await open(browser, packed(container));
    await look(page);
    await page.browserContext().close();
    assert.deepEqual(complaints, []);
}

async function textOf(page: Page, selector: string): Promise<string> {
    return page.$eval(selector, (element) => element.textContent ?? '');
}

async function rowsOf(page: Page, selector: string): Promise<number> {
    return page.$$eval(`${selector} tbody tr`, (rows) => rows.length);
}

function part(name: string): Record<string, unknown> {
    return fixture.head[name] as Record<string, unknown>;
}

test('a recording of nothing says so, and no figure of it is nonsense', async () => {
    const empty = makeFixture({ ...SHAPE, blocks: 0 });
    const head = {
        map: null,
        replay: null,
        pools: [],
        summary: { ...(empty.head['summary'] as object), events: 0 },
    };
    await withReport(empty, { head }, async (page) => {
        assert.match(await textOf(page, '.warning'), /Nothing was recorded/);
        for (const id of ['flame', 'sites', 'histograms', 'pins', 'threads']) {
            await showTab(page, id);
        }
        assert.ok(!/NaN|Infinity|undefined/.test(await textOf(page, '#page')));
        assert.match(
            await textOf(page, '#panel-pins .facts'),
            /free on partly used pages0 Bpages0:/,
        );
        assert.match(await textOf(page, '[data-card=live]'), /0 B0 blocks$/);
    });
});

test('one block is no blocks', async () => {
    const blocks = makeFixture({ ...SHAPE, blocks: 1 });
    const replay = fixture.head['replay'] as { runs: object[] };
    const head = { replay: { ...replay, runs: replay.runs.slice(0, 1) } };
    await withReport(blocks, { head }, async (page) => {
        assert.equal(await textOf(page, '.legend summary'), 'Footprint replayed on 1 allocator');
        assert.match(await textOf(page, '[data-card=allocated]'), /B1 block$/);
        await page.click('#tab-flame');
        await page.click('#panel-flame [data-value=allocs]');
        assert.equal(await textOf(page, '#panel-flame .status'), '1 allocation in the range');
    });
});

test('where stacks were sampled, figures by call site are marked as estimates', async () => {
    const program = { ...part('program'), stacks: 'sampled', sample_bytes: 65536 };
    await withReport(fixture, { head: { program } }, async (page) => {
        assert.doesNotMatch(await textOf(page, '.cards'), /≈/);
        await showTab(page, 'flame');
        assert.match(await textOf(page, '#panel-flame .status'), /^≈ [\d.]+ \wiB asked for/);
        await showTab(page, 'sites');
        const figures = await page.$$eval('#panel-sites tbody td.number', (cells) =>
            cells.map((cell) => cell.textContent ?? ''),
        );
        assert.ok(figures.length > 0 && figures.every((text) => text.startsWith('≈ ')));
        assert.match(await textOf(page, '#panel-sites .toolbar'), /estimates/);
        assert.match(await textOf(page, '#panel-sites .stacks summary'), /^≈ /);
    });
    await withReport(fixture, {}, async (page) => {
        await showTab(page, 'sites');
        assert.doesNotMatch(await textOf(page, '#page'), /≈/);
    });
});

test('many threads are shown in part until all are asked for', async () => {
    const count = 1500;
    const threads = Array.from({ length: count }, (_, i) => ({
        id: i,
        name: 'worker',
        allocations: 1,
        bytes: 8,
    }));
    const sections = {
        'thread.ends': new Uint32Array(SHAPE.bins).fill(count),
        'thread.index': Uint32Array.from(threads, ({ id }) => id),
        'thread.allocs': new Uint32Array(count).fill(1),
        'thread.bytes': new Float64Array(count).fill(8),
    };
    await withReport(fixture, { head: { threads }, sections }, async (page) => {
        await showTab(page, 'threads');
        assert.equal(await rowsOf(page, '#panel-threads'), 200);
        assert.match(await textOf(page, '#panel-threads .table-foot'), /1,300 left/);
        await page.click('#panel-threads .show-all');
        assert.equal(await rowsOf(page, '#panel-threads'), count);
        assert.equal(await textOf(page, '#panel-threads .table-foot'), '');
    });
});

test('the share of free bytes is of the pages that are shown, not of the most there ever was', async () => {
    const snapshots = (fixture.head['snapshots'] as object[]).map((snapshot) => ({
        ...snapshot,
        footprint: 1 << 30,
        pages: 10,
        full_pages: 0,
        partial_pages: 10,
        free_bytes: 4096,
    }));
    await withReport(fixture, { head: { snapshots } }, async (page) => {
        await showTab(page, 'pins');
        const facts = await textOf(page, '#panel-pins .facts');
        assert.match(facts, /high-water mark.*1\.00 GiB/);
        assert.match(facts, /4\.00 KiB \(10\.0 % of these pages\)/);
    });
    const map = { ...part('map'), layout: 'recorded addresses' };
    await withReport(fixture, { head: { snapshots, map } }, async (page) => {
        await showTab(page, 'pins');
        assert.doesNotMatch(await textOf(page, '#panel-pins .facts'), /high-water mark/);
    });
});

test('blocks without a place in the map are told of below it', async () => {
    await withReport(
        fixture,
        { head: { map: { ...part('map'), unplaced: 1234 } } },
        async (page) => {
            assert.match(await textOf(page, '#panel-map .unplaced'), /^1,234 blocks have no place/);
        },
    );
    await withReport(fixture, { head: { map: { ...part('map'), unplaced: 0 } } }, async (page) => {
        assert.equal((await page.$$('.unplaced')).length, 0);
    });
});
