// SPDX-License-Identifier: MIT

import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

import type { Browser, Page } from 'puppeteer-core';

import { pageWith } from './container_writer';

/** A headless Chromium, and pages in it that may neither complain nor ask anything of a network. */

function setting(name: string): string {
    const value = process.env[name];
    assert.ok(value !== undefined, `${name} is set by web/test/run`);
    return value;
}

export const ASSET = readFileSync(setting('TARN_PAGE'), 'utf8');

/** Waits longer than it should ever take, so that a busy machine fails no test. */
const PATIENCE = 60000;

export interface Opened {
    page: Page;
    /** What went wrong so far: errors, warnings, requests. */
    complaints: string[];
    /** Milliseconds until all was drawn. */
    took: number;
}

export interface OpenOptions {
    scheme?: 'light' | 'dark';
    width?: number;
    height?: number;
    /** Run in the page before its own scripts. */
    before?: () => void;
}

export async function launch(): Promise<Browser> {
    const puppeteer = createRequire(join(setting('TARN_MODULES'), 'package.json'))(
        'puppeteer-core',
    ) as {
        launch(options: object): Promise<Browser>;
    };
    return puppeteer.launch({
        executablePath: setting('TARN_CHROMIUM'),
        headless: true,
        // Chromium's own sandbox does not work for root, nor in most containers.
        args: [
            '--no-sandbox',
            '--disable-gpu',
            '--disable-dev-shm-usage',
            '--force-device-scale-factor=1',
        ],
        protocolTimeout: PATIENCE,
    });
}

/** Opens a report with this data; null: the asset as it is. */
export async function open(
    browser: Browser,
    base64: string | null,
    options: OpenOptions = {},
): Promise<Opened> {
    const name = `report-${Math.random().toString(36).slice(2)}.html`;
    const file = join(setting('TARN_SCRATCH'), name);
    const url = pathToFileURL(file).href;
    writeFileSync(file, base64 === null ? ASSET : pageWith(ASSET, base64));
    const context = await browser.createBrowserContext();
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    await page.setViewport({ width: options.width ?? 1280, height: options.height ?? 800 });
    await page.emulateMediaFeatures([
        { name: 'prefers-color-scheme', value: options.scheme ?? 'light' },
    ]);
    if (options.before !== undefined) {
        await page.evaluateOnNewDocument(options.before);
    }
    const complaints: string[] = [];
    page.on('console', (message) => complaints.push(`console: ${message.text()}`));
    page.on('pageerror', (error) => complaints.push(`error: ${String(error)}`));
    page.on('request', (request) => {
        if (request.url() !== url && !request.url().startsWith('data:')) {
            complaints.push(`request: ${request.url()}`);
        }
    });
    const started = performance.now();
    await page.goto(url);
    rmSync(file);
    await page.waitForSelector('#page[data-state]');
    await settle(page);
    return { page, complaints, took: performance.now() - started };
}

/** Waits until what was asked for has been drawn. */
export async function settle(page: Page): Promise<void> {
    await page.evaluate(
        () =>
            new Promise<void>((resolve) =>
                requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(resolve, 30))),
            ),
    );
}

export async function showTab(page: Page, id: string): Promise<void> {
    await page.click(`#tab-${id}`);
    await settle(page);
}

/** How many colours a part of the page has; a blank one has one. */
export async function coloursOf(browser: Browser, page: Page, selector?: string): Promise<number> {
    const target = selector === undefined ? page : await page.waitForSelector(selector);
    assert.ok(target !== null);
    const image = await target.screenshot({ encoding: 'base64' });
    const blank = await browser.newPage();
    const count = await blank.evaluate(async (data) => {
        const picture = new Image();
        picture.src = `data:image/png;base64,${data}`;
        await picture.decode();
        const canvas = new OffscreenCanvas(picture.width, picture.height);
        const context = canvas.getContext('2d') as OffscreenCanvasRenderingContext2D;
        context.drawImage(picture, 0, 0);
        return new Set(
            new Uint32Array(context.getImageData(0, 0, picture.width, picture.height).data.buffer),
        ).size;
    }, image);
    await blank.close();
    return count;
}
