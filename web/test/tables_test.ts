// SPDX-License-Identifier: MIT

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { coloursOf, settle, showTab } from './browser';
import { browser, eachWithAReport, page, textOf } from './report_page';

eachWithAReport();

test('call sites sort by each column, filter, and show their stacks', async () => {
    await showTab(page, 'sites');
    const column = async (n: number): Promise<number[]> =>
        page.$$eval(`#panel-sites tbody td:nth-child(${n})`, (cells) =>
            cells.map((cell) => Number((cell.textContent ?? '').replace(/,/g, ''))),
        );
    for (const n of [3, 4, 7]) {
        await page.click(`#panel-sites th:nth-child(${n}) button`);
        const falling = await column(n);
        assert.deepEqual(
            falling,
            [...falling].sort((a, b) => b - a),
        );
        await page.click(`#panel-sites th:nth-child(${n}) button`);
        const rising = await column(n);
        assert.deepEqual(
            rising,
            [...rising].sort((a, b) => a - b),
        );
    }
    await page.click('#panel-sites tbody tr:nth-child(3)');
    const title = await textOf('#panel-sites tbody tr:nth-child(3) .function');
    assert.equal(await textOf('.stacks h2'), title);
    assert.equal(await textOf('.stacks li .function'), title);
    await page.type('#panel-sites input', 'token');
    const names = await page.$$eval('#panel-sites tbody .site', (cells) =>
        cells.map((cell) => cell.textContent ?? ''),
    );
    assert.ok(names.length > 0 && names.every((name) => name.includes('token')), names.join(', '));
    await page.select('#panel-sites select', 'module');
    assert.equal(await page.$$eval('#panel-sites tbody tr', (rows) => rows.length), 0);
});

test('replays are ranked, drawn beside the theory, and can be laid over the curve', async () => {
    await showTab(page, 'replay');
    const names = await page.$$eval('#panel-replay tbody .function', (cells) =>
        cells.map((cell) => cell.textContent),
    );
    assert.deepEqual(names, [
        'best-fit',
        'first-fit',
        'segregated-fit',
        'buddy',
        'tarn',
        'system',
        'libjemalloc.so.2',
    ]);
    assert.equal(await textOf('#panel-replay .bad'), 'crashed');
    const widths = await page.$$eval('.bars-footprint', (bars) =>
        bars.map((bar) => bar.getBoundingClientRect().width),
    );
    assert.deepEqual(
        widths,
        [...widths].sort((a, b) => a - b),
    );
    assert.equal(widths.length, 5);
    const values = await page.$$eval('.bars-value', (all) => all.map((value) => value.textContent));
    assert.match(values[5] ?? '', /^\([\d.]+ MiB\)$/, 'what is resident, where no more is known');
    assert.match(await textOf('.legend-group'), /tarn.*system \(resident\)/);
    assert.match(await textOf('[data-box=theory]'), /Peak of live bytes.*static plan.*Robson/);
    assert.match(await textOf('[data-box=movable]'), /Saved.*at the end.* instead of .*Moved/);
    const before = await coloursOf(browser, page, '.chart');
    await page.click('.legend-group input');
    await settle(page);
    assert.ok((await coloursOf(browser, page, '.chart')) > before);
});

test('pools stand below the pools they take from', async () => {
    await showTab(page, 'pools');
    const names = await page.$$eval('#panel-pools tbody td:first-child', (cells) =>
        cells.map((cell) => cell.textContent),
    );
    assert.deepEqual(names, ['requests', 'request', 'messages']);
});
