// SPDX-License-Identifier: MIT

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { settle, showTab } from './browser';
import { naiveTotals } from './naive';
import { WHOLE, dataOf, eachWithAReport, fixture, page, textOf, widthOf } from './report_page';

eachWithAReport();

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
    const name = await page.$eval(
        '.flame .is-current',
        (group) => group.getAttribute('name') ?? '',
    );
    assert.ok((await textOf('#panel-flame .status')).startsWith(`${name}:`));
    await page.keyboard.press('Enter');
    await settle(page);
    assert.equal(await widthOf(name), await widthOf('all'), 'the frame has the whole width');
});

test('a search marks frames and says how much they are', async () => {
    await showTab(page, 'flame');
    const colours = async (): Promise<number> =>
        page.$$eval(
            '.flame rect',
            (all) => all.filter((rect) => rect.getAttribute('fill') === '#f29be0').length,
        );
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
