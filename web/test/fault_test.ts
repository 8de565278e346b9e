// SPDX-License-Identifier: MIT

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import type { Browser } from 'puppeteer-core';

import { ASSET, type OpenOptions, launch, open } from './browser';
import { packed, writeContainer } from './container_writer';
import { SMALL, makeFixture } from './fixture';

const fixture = makeFixture({
    ...SMALL,
    blocks: 300,
    nodes: 30,
    frames: 20,
    columns: 32,
    rows: 16,
    bins: 8,
});
const data = packed(fixture.bytes);

let browser: Browser;

before(async () => {
    browser = await launch();
});

after(async () => {
    await browser.close();
});

async function messageOf(base64: string | null, options?: OpenOptions): Promise<string> {
    const { page, complaints } = await open(browser, base64, options);
    const text = await page.$eval('.fault', (element) => element.textContent ?? '');
    await page.browserContext().close();
    assert.deepEqual(complaints, []);
    return text;
}

test('a page without a recording says how to get one', async () => {
    assert.match(await messageOf(null), /has no recording in it.*tarn report FILE/);
});

test('data that was cut short is told of', async () => {
    assert.match(await messageOf(data.slice(0, data.length / 2)), /is damaged.*Copy it again/);
});

test('data of a newer release is told of', async () => {
    const newer = writeContainer({ ...fixture.head, version: 9 }, fixture.sections);
    assert.match(await messageOf(packed(newer)), /version 9.*different releases/);
});

test('a head of another shape is told of, and does not crash the page', async () => {
    for (const odd of [{ program: 3 }, { threads: 'none' }]) {
        const container = writeContainer({ ...fixture.head, ...odd }, fixture.sections);
        assert.match(await messageOf(packed(container)), /is damaged/);
    }
});

test('a replay of another shape costs its tab alone, and is told of', async () => {
    const replay = fixture.head['replay'] as Record<string, unknown>;
    const { theory: _, ...withoutTheory } = replay;
    const odd: [unknown, RegExp][] = [
        [{ ...replay, runs: 'many' }, /left out: runs is no list/],
        [{ ...replay, runs: [null] }, /left out: runs\[0\] is no object/],
        [{ ...replay, theory: 3 }, /left out: theory is no object/],
        [withoutTheory, /left out: theory is no object/],
    ];
    for (const [value, message] of odd) {
        const container = writeContainer({ ...fixture.head, replay: value }, fixture.sections);
        const { page, complaints } = await open(browser, packed(container));
        const tabs = await page.$$eval('[role=tab]', (all) => all.map((tab) => tab.textContent));
        assert.ok(tabs.includes('Heap map') && !tabs.includes('Replay'), tabs.join(', '));
        assert.match(await page.$eval('.warning', (note) => note.textContent ?? ''), message);
        await page.browserContext().close();
        assert.deepEqual(complaints, []);
    }
});

test('a browser that cannot unpack is told so', async () => {
    const before = (): void => {
        delete (globalThis as { DecompressionStream?: unknown }).DecompressionStream;
    };
    assert.match(
        await messageOf(data, { before }),
        /DecompressionStream.*Open the file in Firefox/,
    );
});

test('optional parts may be missing, and their tabs with them', async () => {
    const names = Object.keys(fixture.sections).filter(
        (name) => !/^(map|rect|pin|thread|size|lifetime)\.|footprint/.test(name),
    );
    const sections = Object.fromEntries(names.map((name) => [name, fixture.sections[name]]));
    const head = { ...fixture.head, map: null, replay: null, pools: [], snapshots: [] };
    const { page, complaints } = await open(browser, packed(writeContainer(head, sections)));
    const tabs = await page.$$eval('[role=tab]', (all) => all.map((tab) => tab.textContent));
    assert.deepEqual(tabs, ['Flame graph', 'Call sites', 'Sizes and lifetimes']);
    await page.click('#tab-histograms');
    assert.match(
        await page.$eval('#panel-histograms', (panel) => panel.textContent ?? ''),
        /Not recorded/,
    );
    assert.deepEqual(complaints, []);
});

test('what the reader should know of a recording stands on top', async () => {
    const program = {
        ...(fixture.head['program'] as object),
        is_cut: true,
        lost: 1234,
        stacks: 'sampled',
    };
    const { page } = await open(
        browser,
        packed(writeContainer({ ...fixture.head, program }, fixture.sections)),
    );
    const warnings = await page.$$eval('.warning', (all) =>
        all.map((warning) => warning.textContent).join('\n'),
    );
    assert.match(warnings, /cut short[\s\S]*1,234 events were lost[\s\S]*sampled/);
});

test('the page forbids itself every connection', () => {
    const policy = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(ASSET)?.[1] ?? '';
    assert.match(policy, /^default-src 'none'; script-src 'sha256-[\w+/]+=*'; /);
    assert.ok(!/connect-src|unsafe-eval|\*/.test(policy), policy);
    assert.equal(ASSET.split('<!--TARN-DATA-->').length, 2, 'there is one place for the data');
    assert.ok(
        !/<(script|link|img)[^>]+(src|href)="(?!data:)/.test(ASSET),
        'nothing is loaded from elsewhere',
    );
});
