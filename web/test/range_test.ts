// SPDX-License-Identifier: MIT

import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as format from '../src/data/format';
import { settle, showTab } from './browser';
import { SIZE_BOUNDS, SMALL, classOf } from './fixture';
import { naiveTotals } from './naive';
import {
    WHOLE,
    assertCards,
    cards,
    dataOf,
    drag,
    eachWithAReport,
    fixture,
    page,
    selected,
    textOf,
} from './report_page';

eachWithAReport();

test('the cards show the figures of the whole recording', async () => {
    assert.deepEqual(await selected(), WHOLE);
    await assertCards(WHOLE);
    assert.equal(
        (await cards())['peak'],
        (fixture.head['summary'] as { peak_live: number }).peak_live,
    );
});

test('a range that is dragged over the curve filters the cards and every view', async () => {
    await drag(0.25, 0.6);
    const range = await selected();
    assert.ok(
        Math.abs(range.begin - 16) <= 1 && Math.abs(range.end - 39) <= 1,
        JSON.stringify(range),
    );
    await assertCards(range);
    assert.match(await textOf('.range-text'), /^Selected: [\d.]+ s – [\d.]+ s \(/);
    const naive = naiveTotals(fixture, range);

    const perColumn = SMALL.columns / SMALL.bins;
    assert.equal(await dataOf('.map canvas', 'x0'), range.begin * perColumn);
    assert.equal(await dataOf('.map canvas', 'x1'), range.end * perColumn);

    await showTab(page, 'flame');
    assert.equal(await dataOf('.flame', 'total'), naive.bytes);
    for (const [metric, value] of [
        ['allocs', naive.allocs],
        ['live', naive.live],
        ['temporary', naive.temporary],
    ] as const) {
        await page.click(`#panel-flame [data-value=${metric}]`);
        assert.equal(await dataOf('.flame', 'total'), value, metric);
    }

    await showTab(page, 'histograms');
    const counts = await page.$$eval('[data-histogram=size] tr', (rows) =>
        rows.map((row) => Number(row.dataset['value'])),
    );
    const perBin = SMALL.durationNs / SMALL.bins;
    const born = fixture.blocks.filter(
        ({ begin }) => begin >= range.begin * perBin && begin < range.end * perBin,
    );
    const classes = SIZE_BOUNDS.map(
        (_, i) => born.filter((block) => classOf(SIZE_BOUNDS, block.size) === i).length,
    );
    assert.deepEqual(
        counts,
        classes.filter((n) => n > 0),
    );

    await showTab(page, 'threads');
    const main = naiveTotals(
        { shape: SMALL, blocks: fixture.blocks.filter((block) => block.thread === 0) },
        range,
    );
    const row = await page.$$eval('#panel-threads tbody tr', (rows) =>
        [...rows[0].cells].map((cell) => cell.textContent),
    );
    assert.deepEqual(row, ['main', '1000', format.count(main.allocs), format.bytes(main.bytes)]);

    await showTab(page, 'sites');
    const bySite = fixture.frame.map(
        (frame) =>
            naiveTotals(
                {
                    shape: SMALL,
                    blocks: fixture.blocks.filter((block) => fixture.frame[block.node] === frame),
                },
                range,
            ).bytes,
    );
    assert.equal(
        await textOf('#panel-sites tbody tr td:nth-child(2)'),
        format.bytes(Math.max(...bySite)),
    );

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
