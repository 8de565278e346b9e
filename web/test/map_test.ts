// SPDX-License-Identifier: MIT

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Container } from '../src/data/container';
import { extentOf } from '../src/data/map_extent';
import { addressAt, rectAt } from '../src/data/map_pick';
import { rankSites, rankThreads } from '../src/data/map_sites';
import { Recording } from '../src/data/recording';
import { Window } from '../src/data/window';
import { SMALL, isLiveAt, makeFixture } from './fixture';
import { Random } from './random';

const seed = Date.now() >>> 0;
const fixture = makeFixture({ ...SMALL, seed });
const recording = new Recording(new Container(fixture.bytes.buffer));
const map = recording.map as NonNullable<Recording['map']>;
const rects = recording.rects as NonNullable<Recording['rects']>;

function shown(window: Window): number[] {
    return [window.x0, window.x1, window.y0, window.y1];
}

test('zooming keeps the point under the pointer in its place', () => {
    const window = new Window(1000, 500);
    window.zoom(4, 2, 0.5, 0.2);
    assert.deepEqual(shown(window), [375, 625, 50, 300]);
    window.zoom(1 / 4, 1 / 2, 0.5, 0.2);
    assert.ok(window.isWhole);
});

test('no zoom or pan leads out of the map', () => {
    const random = new Random(seed);
    const window = new Window(300, 40);
    for (let i = 0; i < 5000; i++) {
        if (random.below(2) === 0) {
            window.zoom(
                0.3 + 3 * random.next(),
                0.3 + 3 * random.next(),
                random.next(),
                random.next(),
            );
        } else {
            window.pan(2 * random.next() - 1, 2 * random.next() - 1);
        }
        const [x0, x1, y0, y1] = shown(window);
        const isInside =
            x0 >= 0 &&
            y0 >= 0 &&
            x1 <= 300 + 1e-9 &&
            y1 <= 40 + 1e-9 &&
            x1 - x0 > 0.05 &&
            y1 - y0 > 0.05;
        assert.ok(isInside, `seed ${seed}, step ${i}: ${shown(window).join(' ')}`);
    }
    window.reset();
    assert.ok(window.isWhole);
});

test('the block under the pointer is found, and free space is not', () => {
    const random = new Random(seed);
    for (let i = 0; i < 500; i++) {
        const time = random.next() * SMALL.durationNs;
        const address = random.next() * map.rows * map.bytesPerRow;
        const found = rectAt(rects, time, address);
        const block = fixture.blocks.find(
            (other) =>
                isLiveAt(other, time) &&
                other.address <= address &&
                address < other.address + other.size,
        );
        if (found >= 0) {
            assert.equal(rects.begin[found], block?.begin, `seed ${seed}, try ${i}`);
        } else {
            const isExact = block !== undefined && rects.begin.includes(block.begin);
            assert.ok(!isExact, `seed ${seed}, try ${i}: it should have been found`);
        }
    }
});

test('addresses go on after the gaps that were left out', () => {
    const gaps: [number, number][] = [
        [0, 0x10000],
        [4096, 0x7f0000000000],
    ];
    const known = { ...map, extents: gaps };
    assert.equal(addressAt(known, 4095), 0x10fff);
    assert.equal(addressAt(known, 4096), 0x7f0000000000);
    assert.equal(addressAt(known, 5000), 0x7f0000000000 + 904);
    assert.equal(addressAt(map, 4096), null);
});

test('a simulated heap is held from its bottom up to its footprint', () => {
    const { low, high } = extentOf(recording, map);
    assert.ok(low.every((row) => row === 0));
    // The steps of the curve are as wide as two columns' or less: what it says may be that late.
    const step = Math.max(SMALL.durationNs / recording.curve.count, map.nsPerColumn);
    const rowsAt = (time: number): number => {
        const born = fixture.blocks.filter((block) => block.begin < time);
        const top = Math.max(0, ...born.map((block) => block.address + block.size));
        return Math.ceil(top / map.bytesPerRow);
    };
    for (let x = 0; x < map.columns; x++) {
        const end = (x + 1) * map.nsPerColumn;
        assert.ok(high[x] >= rowsAt(end - step), `seed ${seed}, column ${x}: too low`);
        assert.ok(high[x] <= rowsAt(end + step), `seed ${seed}, column ${x}: too high`);
    }
});

test('before the first block nothing is held', () => {
    const late = { ...map, used: map.used.slice().fill(0, 0, 20 * map.rows) };
    const silent = { ...recording.curve, footprint: null };
    for (const layout of ['best-fit (simulated)', 'recorded addresses']) {
        const quiet = { curve: silent } as unknown as Recording;
        const { low, high } = extentOf(quiet, { ...late, layout });
        for (let x = 0; x < 20; x++) {
            assert.ok(high[x] <= low[x], `${layout}, column ${x}`);
        }
    }
});

test('of recorded addresses only what lies between blocks is held', () => {
    const { low, high } = extentOf(recording, { ...map, layout: 'recorded addresses' });
    for (let x = 0; x < map.columns; x++) {
        const used = map.used.subarray(x * map.rows, (x + 1) * map.rows);
        const first = used.findIndex((share) => share > 0);
        if (first >= 0) {
            assert.equal(low[x], first);
            assert.ok(
                used[high[x] - 1] > 0 && used.subarray(high[x]).every((share) => share === 0),
            );
        } else {
            assert.ok(high[x] <= low[x]);
        }
    }
});

test('the call sites and threads that fill most come first', () => {
    const sites = rankSites(recording, map, 5);
    assert.equal(sites.keys.length, 5);
    const weight = (frame: number): number =>
        map.used.reduce(
            (sum, used, i) => (recording.nodes.frame[map.node[i]] === frame ? sum + used : sum),
            0,
        );
    const weights = sites.keys.map(weight);
    assert.deepEqual(
        weights,
        [...weights].sort((a, b) => b - a),
    );
    assert.equal(sites.rankOf(sites.keys[2]), 2);
    const other = fixture.frame.find((frame) => !sites.keys.includes(frame)) as number;
    assert.equal(sites.rankOf(other), 5);
    assert.ok(weight(other) <= weights[4]);
    assert.deepEqual([...rankThreads(map, 12).keys].sort(), [0, 1, 2, 3]);
});
