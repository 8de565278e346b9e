// SPDX-License-Identifier: MIT

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';

import type { Browser, Page } from 'puppeteer-core';

import type { Range } from '../src/data/selection';
import * as format from '../src/data/format';
import { type Opened, coloursOf, launch, open, settle, showTab } from './browser';
import { packed } from './container_writer';
import { SIZE_BOUNDS, SMALL, classOf, makeFixture } from './fixture';
import { naiveTotals } from './naive';

const fixture = makeFixture(SMALL);
const data = packed(fixture.bytes);
const WHOLE = { begin: 0, end: SMALL.bins };

let browser: Browser;
let opened: Opened;
let page: Page;

before(async () => {
    browser = await launch();
});

after(async () => {
    await browser.close();
});

beforeEach(async () => {
    opened = await open(browser, data);
    page = opened.page;
});

afterEach(async () => {
    const { complaints } = opened;
    await page.close();
    assert.deepEqual(complaints, []);
});

async function cards(): Promise<Record<string, number>> {
    return page.$$eval('div.card', (elements) =>
        Object.fromEntries(elements.map(({ dataset }) => [dataset['card'], Number(dataset['value'])])),
    );
}

async function selected(): Promise<Range> {
    return page.$eval('div.range', (range) => ({ begin: Number(range.dataset['begin']), end: Number(range.dataset['end']) }));
}

async function dataOf(selector: string, name: string): Promise<number> {
    return page.$eval(selector, (element, key) => Number((element as HTMLElement).dataset[key]), name);
}

async function textOf(selector: string): Promise<string> {
    return page.$eval(selector, (element) => element.textContent ?? '');
}

/** Drags over the upper chart from one share of its width to another. */
async function drag(from: number, to: number): Promise<void> {
    const chart = await page.waitForSelector('.chart .u-over');
    const box = await chart?.boundingBox();
    assert.ok(box !== null && box !== undefined);
    const y = box.y + box.height / 2;
    await page.mouse.move(box.x + from * box.width, y);
    await page.mouse.down();
    await page.mouse.move(box.x + ((from + to) / 2) * box.width, y, { steps: 3 });
    await page.mouse.move(box.x + to * box.width, y, { steps: 3 });
    await page.mouse.up();
    await settle(page);
}

/** The width of the widest frame of this name. */
async function widthOf(name: string): Promise<number> {
    const widths = await page.$$eval(
        '.flame g.frame',
        (groups, wanted) => groups.filter((group) => group.getAttribute('name') === wanted).map((group) => Number(group.getAttribute('width'))),
        name,
    );
    return Math.round(Math.max(...widths));
}

async function assertCards(range: Range): Promise<void> {
    const naive = naiveTotals(fixture, range);
    const shown = await cards();
    assert.deepEqual(
        [shown['allocated'], shown['allocations'], shown['freed'], shown['temporary'], shown['live']],
        [naive.bytes, naive.allocs, naive.freed, naive.temporary, naive.live],
    );
}

test('the cards show the figures of the whole recording', async () => {
    assert.deepEqual(await selected(), WHOLE);
    await assertCards(WHOLE);
    assert.equal((await cards())['peak'], (fixture.head['summary'] as { peak_live: number }).peak_live);
});

test('a range that is dragged over the curve filters the cards and every view', async () => {
    await drag(0.25, 0.6);
    const range = await selected();
    assert.ok(Math.abs(range.begin - 16) <= 1 && Math.abs(range.end - 39) <= 1, JSON.stringify(range));
    await assertCards(range);
    assert.match(await textOf('.range-text'), /^Selected: [\d.]+ s – [\d.]+ s \(/);
    const naive = naiveTotals(fixture, range);

    const perColumn = SMALL.columns / SMALL.bins;
    assert.equal(await dataOf('.map canvas', 'x0'), range.begin * perColumn);
    assert.equal(await dataOf('.map canvas', 'x1'), range.end * perColumn);

    await showTab(page, 'flame');
    assert.equal(await dataOf('.flame', 'total'), naive.bytes);
    for (const [metric, value] of [['allocs', naive.allocs], ['live', naive.live], ['temporary', naive.temporary]] as const) {
        await page.click(`#panel-flame [data-value=${metric}]`);
        assert.equal(await dataOf('.flame', 'total'), value, metric);
    }

    await showTab(page, 'histograms');
    const counts = await page.$$eval('[data-histogram=size] tr', (rows) => rows.map((row) => Number(row.dataset['value'])));
    const perBin = SMALL.durationNs / SMALL.bins;
    const born = fixture.blocks.filter(({ begin }) => begin >= range.begin * perBin && begin < range.end * perBin);
    const classes = SIZE_BOUNDS.map((_, i) => born.filter((block) => classOf(SIZE_BOUNDS, block.size) === i).length);
    assert.deepEqual(counts, classes.filter((n) => n > 0));

    await showTab(page, 'threads');
    const main = naiveTotals({ shape: SMALL, blocks: fixture.blocks.filter((block) => block.thread === 0) }, range);
    const row = await page.$$eval('#panel-threads tbody tr', (rows) => [...rows[0].cells].map((cell) => cell.textContent));
    assert.deepEqual(row, ['main', '1000', format.count(main.allocs), format.bytes(main.bytes)]);

    await showTab(page, 'sites');
    const bySite = fixture.frame.map((frame) => naiveTotals({ shape: SMALL, blocks: fixture.blocks.filter((block) => fixture.frame[block.node] === frame) }, range).bytes);
    assert.equal(await textOf('#panel-sites tbody tr td:nth-child(2)'), format.bytes(Math.max(...bySite)));

    await showTab(page, 'pins');
    assert.match(await textOf('.facts'), /^Snapshot at/);
});

test('Escape, a double click and the button select the whole again', async () => {
    await drag(0.5, 0.9);
    assert.notDeepEqual(await selected(), WHOLE);
    await page.keyboard.press('Escape');
    assert.deepEqual(await selected(), WHOLE);
    await assertCards(WHOLE);
    await drag(0.1, 0.3);
    await page.click('.range-reset');
    assert.deepEqual(await selected(), WHOLE);
    await drag(0.1, 0.3);
    await page.click('.chart .u-over', { count: 2 });
    assert.deepEqual(await selected(), WHOLE);
});

test('a plain click on the curve keeps the range', async () => {
    await drag(0.5, 0.9);
    const range = await selected();
    await page.click('.chart .u-over');
    await settle(page);
    assert.deepEqual(await selected(), range);
    const width = await page.$eval('.u-select', (element) => element.getBoundingClientRect().width);
    assert.ok(width > 100, 'it is still drawn');
});

test('the range can be set by keys alone', async () => {
    await page.focus('[aria-label="Begin of the range"]');
    await page.keyboard.press('PageUp');
    await page.keyboard.press('ArrowRight');
    await page.focus('[aria-label="End of the range"]');
    await page.keyboard.press('ArrowLeft');
    assert.deepEqual(await selected(), { begin: 11, end: SMALL.bins - 1 });
    await assertCards({ begin: 11, end: SMALL.bins - 1 });
    await page.keyboard.press('Home');
    assert.deepEqual(await selected(), { begin: 11, end: 12 });
});

test('the handles and the window of the range can be dragged', async () => {
    const track = await (await page.waitForSelector('.range-track'))?.boundingBox();
    assert.ok(track !== null && track !== undefined);
    const at = (share: number): number => track.x + share * track.width;
    const pull = async (from: number, to: number): Promise<void> => {
        await page.mouse.move(at(from), track.y + 4);
        await page.mouse.down();
        await page.mouse.move(at(to), track.y + 4, { steps: 4 });
        await page.mouse.up();
    };
    await pull(0, 0.25);
    await pull(1, 0.5);
    assert.deepEqual(await selected(), { begin: 16, end: 32 });
    await pull(0.375, 0.875);
    assert.deepEqual(await selected(), { begin: 48, end: 64 });
    await assertCards({ begin: 48, end: 64 });
});

test('the heap map zooms at the pointer, pans and shows all again', async () => {
    const canvas = await page.waitForSelector('.map canvas');
    await canvas?.scrollIntoView();
    const box = await canvas?.boundingBox();
    assert.ok(box !== null && box !== undefined);
    const view = async (): Promise<number[]> =>
        page.$eval('.map canvas', (element) => ['x0', 'x1', 'y0', 'y1'].map((key) => Number((element as HTMLElement).dataset[key])));
    await page.mouse.move(box.x + box.width * 0.75, box.y + box.height / 2);
    for (let i = 0; i < 5; i++) {
        await page.mouse.wheel({ deltaY: -240 });
    }
    await settle(page);
    const zoomed = await view();
    assert.ok(zoomed[1] - zoomed[0] < SMALL.columns / 5 && zoomed[3] - zoomed[2] < SMALL.rows / 5, zoomed.join(' '));
    assert.ok((await dataOf('.map canvas', 'rects')) > 0, 'blocks are drawn exactly');
    assert.ok((await coloursOf(browser, page, '.map canvas')) > 8);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.65, box.y + box.height / 2, { steps: 4 });
    await page.mouse.up();
    await settle(page);
    const panned = await view();
    assert.ok(panned[0] > zoomed[0] + 1, panned.join(' '));
    await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2, { count: 2 });
    await settle(page);
    assert.deepEqual(await view(), [0, SMALL.columns, 0, SMALL.rows]);
    await page.focus('.map canvas');
    await page.keyboard.press('+');
    await settle(page);
    assert.ok((await view())[1] < SMALL.columns);
    await page.keyboard.press('0');
    await settle(page);
    assert.deepEqual(await view(), [0, SMALL.columns, 0, SMALL.rows]);
});

test('the heap map tells of the block under the pointer', async () => {
    const block = fixture.blocks
        .filter(({ begin, end }) => begin < SMALL.durationNs / 2 && end > SMALL.durationNs * 0.75)
        .sort((a, b) => b.size - a.size)[0];
    const map = fixture.head['map'] as { bytes_per_row: number };
    const box = await page.$eval('.map canvas', (canvas) => {
        canvas.scrollIntoView();
        const { x, y, width, height } = canvas.getBoundingClientRect();
        return { x, y, width, height };
    });
    // The margins of the plot, as views/heap_map.ts has them.
    const row = (block.address + block.size / 2) / map.bytes_per_row;
    const x = box.x + 72 + (box.width - 94) * 0.6;
    const y = box.y + 6 + (box.height - 28) * (1 - row / SMALL.rows);
    await page.mouse.move(x, y);
    const tip = await textOf('.tip');
    assert.match(tip, /^Block/);
    assert.ok(tip.includes(format.exactBytes(block.size)), tip);
    assert.ok(tip.includes(block.thread === 0 ? 'main' : `worker-${block.thread}`), tip);
});

test('the map has a colour and a legend for each property', async () => {
    const legends = new Set<string>();
    for (const colour of ['size', 'age', 'thread', 'site']) {
        await page.click(`#panel-map [data-value=${colour}]`);
        await settle(page);
        legends.add(await textOf('#panel-map .map-legend'));
        assert.ok((await coloursOf(browser, page, '.map canvas')) > 12, colour);
    }
    assert.equal(legends.size, 4);
    await page.click('#panel-map [data-value=thread]');
    assert.match(await textOf('#panel-map .map-legend'), /main.*worker-1.*free, held/);
});

test('what the map shows can be made the range', async () => {
    await page.click('#panel-map [aria-label="Zoom in"]');
    await page.evaluate(() => {
        const buttons = [...document.querySelectorAll<HTMLButtonElement>('#panel-map button')];
        buttons.find((button) => button.textContent === 'Select what is seen')?.click();
    });
    const range = await selected();
    assert.ok(range.begin > 0 && range.end < SMALL.bins);
    await assertCards(range);
});

test('the flame graph zooms into a frame, out again, and turns over', async () => {
    await showTab(page, 'flame');
    const frames = async (): Promise<number> => page.$$eval('.flame g.frame', (all) => all.length);
    const all = await frames();
    assert.ok(all > 50, `${all} frames`);
    const name = await page.$$eval('.flame g.frame', (groups) => {
        const target = groups.find((group) => group.getAttribute('name') !== 'all');
        const name = target?.getAttribute('name') ?? '';
        // Afterwards the element may stand for another frame.
        target?.dispatchEvent(new MouseEvent('click', { bubbles: true }));
        return name;
    });
    await settle(page);
    assert.equal(await widthOf(name), await widthOf('all'), 'the frame has the whole width');
    await page.focus('.flame');
    await page.keyboard.press('Backspace');
    await settle(page);
    assert.equal(await frames(), all);
    await page.click('[data-value=inverted]');
    await settle(page);
    assert.notEqual(await frames(), all);
    assert.equal(await dataOf('.flame', 'total'), naiveTotals(fixture, WHOLE).bytes);
});

test('keys move through the flame graph', async () => {
    await showTab(page, 'flame');
    await page.focus('.flame');
    for (const key of ['ArrowDown', 'ArrowDown', 'ArrowRight'] as const) {
        await page.keyboard.press(key);
    }
    const name = await page.$eval('.flame .is-current', (group) => group.getAttribute('name') ?? '');
    assert.ok((await textOf('#panel-flame .status')).startsWith(`${name}:`));
    await page.keyboard.press('Enter');
    await settle(page);
    assert.equal(await widthOf(name), await widthOf('all'), 'the frame has the whole width');
});

test('a search marks frames and says how much they are', async () => {
    await showTab(page, 'flame');
    const colours = async (): Promise<number> => page.$$eval('.flame rect', (all) => all.filter((rect) => rect.getAttribute('fill') === '#f29be0').length);
    assert.equal(await colours(), 0);
    await page.type('#panel-flame input', 'table');
    await settle(page);
    assert.ok((await colours()) > 0);
    assert.match(await textOf('#panel-flame .status'), /^“table”: .* %/);
    // No pattern is meant, so none can be broken.
    await page.type('#panel-flame input', '(*');
    await settle(page);
    assert.equal(await colours(), 0);
});

test('call sites sort by each column, filter, and show their stacks', async () => {
    await showTab(page, 'sites');
    const column = async (n: number): Promise<number[]> =>
        page.$$eval(`#panel-sites tbody td:nth-child(${n})`, (cells) => cells.map((cell) => Number((cell.textContent ?? '').replace(/,/g, ''))));
    for (const n of [3, 4, 7]) {
        await page.click(`#panel-sites th:nth-child(${n}) button`);
        const falling = await column(n);
        assert.deepEqual(falling, [...falling].sort((a, b) => b - a));
        await page.click(`#panel-sites th:nth-child(${n}) button`);
        const rising = await column(n);
        assert.deepEqual(rising, [...rising].sort((a, b) => a - b));
    }
    await page.click('#panel-sites tbody tr:nth-child(3)');
    const title = await textOf('#panel-sites tbody tr:nth-child(3) .function');
    assert.equal(await textOf('.stacks h2'), title);
    assert.equal(await textOf('.stacks li .function'), title);
    await page.type('#panel-sites input', 'token');
    const names = await page.$$eval('#panel-sites tbody .site', (cells) => cells.map((cell) => cell.textContent ?? ''));
    assert.ok(names.length > 0 && names.every((name) => name.includes('token')), names.join(', '));
    await page.select('#panel-sites select', 'module');
    assert.equal(await page.$$eval('#panel-sites tbody tr', (rows) => rows.length), 0);
});

test('replays are ranked, drawn beside the theory, and can be laid over the curve', async () => {
    await showTab(page, 'replay');
    const names = await page.$$eval('#panel-replay tbody .function', (cells) => cells.map((cell) => cell.textContent));
    assert.deepEqual(names, ['best-fit', 'first-fit', 'segregated-fit', 'buddy', 'tarn', 'system', 'libjemalloc.so.2']);
    assert.equal(await textOf('#panel-replay .bad'), 'crashed');
    const widths = await page.$$eval('.bars-footprint', (bars) => bars.map((bar) => bar.getBoundingClientRect().width));
    assert.deepEqual(widths, [...widths].sort((a, b) => a - b));
    assert.match(await textOf('[data-box=theory]'), /Peak of live bytes.*static plan.*Robson/);
    assert.match(await textOf('[data-box=movable]'), /Saved.*Moved/);
    const before = await coloursOf(browser, page, '.chart');
    await page.click('.legend-group input');
    await settle(page);
    assert.ok((await coloursOf(browser, page, '.chart')) > before);
});

test('pools stand below the pools they take from', async () => {
    await showTab(page, 'pools');
    const names = await page.$$eval('#panel-pools tbody td:first-child', (cells) => cells.map((cell) => cell.textContent));
    assert.deepEqual(names, ['requests', 'request', 'messages']);
});

test('names are text, whatever is in them', async () => {
    assert.equal(await textOf('header code'), 'program --with "a long <command>" line');
    for (const id of ['flame', 'sites', 'pins']) {
        await showTab(page, id);
    }
    assert.equal(await page.$$eval('#page b, #page command', (found) => found.length), 0);
});

test('the tabs can be walked by keys', async () => {
    await page.focus('#tab-map');
    await page.keyboard.press('ArrowRight');
    assert.equal(await page.$eval('#panel-flame', (panel) => (panel as HTMLElement).hidden), false);
    await page.keyboard.press('End');
    assert.equal(await page.$eval('#panel-replay', (panel) => (panel as HTMLElement).hidden), false);
});

test('about shows what was recorded and the notices of the libraries', async () => {
    await page.click('footer button');
    const text = await textOf('dialog');
    assert.match(text, /program\.trace/);
    for (const name of ['uplot', 'd3-flame-graph', 'd3-selection', 'Apache License', 'Leon Sorokin']) {
        assert.ok(text.includes(name), name);
    }
    await page.keyboard.press('Escape');
    assert.equal(await page.$eval('dialog', (dialog) => dialog.open), false);
});

test('nothing hangs over the side at 1000 pixels, in any view', async () => {
    await page.setViewport({ width: 1000, height: 700 });
    for (const id of ['map', 'flame', 'sites', 'histograms', 'pins', 'threads', 'pools', 'replay']) {
        await showTab(page, id);
        assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 1000, id);
    }
});

test('the page follows the scheme of the system, and its own switch', async () => {
    const ground = async (): Promise<string> => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    assert.equal(await ground(), 'rgb(244, 246, 248)');
    assert.ok((await coloursOf(browser, page)) > 50);
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: 'dark' }]);
    await settle(page);
    assert.equal(await ground(), 'rgb(15, 19, 24)');
    assert.ok((await coloursOf(browser, page)) > 50);
    await page.click('.theme');
    assert.equal(await ground(), 'rgb(244, 246, 248)');
    for (const id of ['flame', 'sites', 'histograms', 'replay']) {
        await showTab(page, id);
        await page.click('.theme');
        await settle(page);
        assert.ok((await coloursOf(browser, page, `#panel-${id}`)) > 20, id);
    }
});
