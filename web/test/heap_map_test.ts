// SPDX-License-Identifier: MIT

import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as format from '../src/data/format';
import { coloursOf, settle } from './browser';
import { SMALL } from './fixture';
import {
    assertCards,
    browser,
    dataOf,
    eachWithAReport,
    fixture,
    page,
    selected,
    textOf,
} from './report_page';

eachWithAReport();

test('the heap map zooms at the pointer, pans and shows all again', async () => {
    const canvas = await page.waitForSelector('.map canvas');
    await canvas?.scrollIntoView();
    const box = await canvas?.boundingBox();
    assert.ok(box !== null && box !== undefined);
    const view = async (): Promise<number[]> =>
        page.$eval('.map canvas', (element) =>
            ['x0', 'x1', 'y0', 'y1'].map((key) => Number((element as HTMLElement).dataset[key])),
        );
    await page.mouse.move(box.x + box.width * 0.75, box.y + box.height / 2);
    for (let i = 0; i < 5; i++) {
        await page.mouse.wheel({ deltaY: -240 });
    }
    await settle(page);
    const zoomed = await view();
    assert.ok(
        zoomed[1] - zoomed[0] < SMALL.columns / 5 && zoomed[3] - zoomed[2] < SMALL.rows / 5,
        zoomed.join(' '),
    );
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
