// SPDX-License-Identifier: MIT

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { coloursOf, settle, showTab } from './browser';
import { browser, eachWithAReport, page, textOf } from './report_page';

eachWithAReport();

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
    assert.equal(
        await page.$eval('#panel-replay', (panel) => (panel as HTMLElement).hidden),
        false,
    );
});

test('about shows what was recorded and the notices of the libraries', async () => {
    await page.click('footer button');
    const text = await textOf('dialog');
    assert.match(text, /program\.trace/);
    for (const name of [
        'uplot',
        'd3-flame-graph',
        'd3-selection',
        'Apache License',
        'Leon Sorokin',
    ]) {
        assert.ok(text.includes(name), name);
    }
    await page.keyboard.press('Escape');
    assert.equal(await page.$eval('dialog', (dialog) => dialog.open), false);
});

test('nothing hangs over the side at 1000 pixels, in any view', async () => {
    await page.setViewport({ width: 1000, height: 700 });
    for (const id of [
        'map',
        'flame',
        'sites',
        'histograms',
        'pins',
        'threads',
        'pools',
        'replay',
    ]) {
        await showTab(page, id);
        assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 1000, id);
    }
});

test('the page follows the scheme of the system, and its own switch', async () => {
    const ground = async (): Promise<string> =>
        page.evaluate(() => getComputedStyle(document.body).backgroundColor);
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
