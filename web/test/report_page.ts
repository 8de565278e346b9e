// SPDX-License-Identifier: MIT

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach } from 'node:test';

import type { Browser, Page } from 'puppeteer-core';

import type { Range } from '../src/data/selection';
import { type Opened, launch, open, settle } from './browser';
import { packed } from './container_writer';
import { SMALL, makeFixture } from './fixture';
import { naiveTotals } from './naive';

/**
 * A small report of made-up data, opened anew for each test of a file that calls eachWithAReport().
 */

export const fixture = makeFixture(SMALL);
export const WHOLE = { begin: 0, end: SMALL.bins };

export let browser: Browser;
export let page: Page;

/**
 * Opens the report before each test, and afterwards sees that it neither complained nor asked for
 * anything.
 */
export function eachWithAReport(): void {
    const data = packed(fixture.bytes);
    let opened: Opened;
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
        await page.browserContext().close();
        assert.deepEqual(opened.complaints, []);
    });
}

export async function cards(): Promise<Record<string, number>> {
    return page.$$eval('div.card', (elements) =>
        Object.fromEntries(
            elements.map(({ dataset }) => [dataset['card'], Number(dataset['value'])]),
        ),
    );
}

export async function selected(): Promise<Range> {
    return page.$eval('div.range', (range) => ({
        begin: Number(range.dataset['begin']),
        end: Number(range.dataset['end']),
    }));
}

export async function dataOf(selector: string, name: string): Promise<number> {
    return page.$eval(
        selector,
        (element, key) => Number((element as HTMLElement).dataset[key]),
        name,
    );
}

export async function textOf(selector: string): Promise<string> {
    return page.$eval(selector, (element) => element.textContent ?? '');
}

/** Drags over the upper chart from one share of its width to another. */
export async function drag(from: number, to: number): Promise<void> {
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
export async function widthOf(name: string): Promise<number> {
    const widths = await page.$$eval(
        '.flame g.frame',
        (groups, wanted) =>
            groups
                .filter((group) => group.getAttribute('name') === wanted)
                .map((group) => Number(group.getAttribute('width'))),
        name,
    );
    return Math.round(Math.max(...widths));
}

export async function assertCards(range: Range): Promise<void> {
    const naive = naiveTotals(fixture, range);
    const shown = await cards();
    assert.deepEqual(
        [
            shown['allocated'],
            shown['allocations'],
            shown['freed'],
            shown['temporary'],
            shown['live'],
        ],
        [naive.bytes, naive.allocs, naive.freed, naive.temporary, naive.live],
    );
}
