// SPDX-License-Identifier: MIT

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Container } from '../src/data/container';
import { classSums, figuresOf, snapshotFor, threadFigures } from '../src/data/figures';
import { Recording } from '../src/data/recording';
import { type Range, Selection } from '../src/data/selection';
import { pinSites, sitesOf } from '../src/data/sites';
import {
    LIFETIME_BOUNDS,
    SIZE_BOUNDS,
    SMALL,
    binOf,
    classOf,
    isLiveAt,
    makeFixture,
    peakOf,
} from './fixture';
import { writeContainer } from './container_writer';
import { Random } from './random';
import { naiveTotals } from './naive';

const seed = Date.now() >>> 0;
const shape = { ...SMALL, seed };
const fixture = makeFixture(shape);
const recording = new Recording(new Container(fixture.bytes.buffer));
const binNs = shape.durationNs / shape.bins;

/** The whole, one bin at either end, and some at random. */
function ranges(): Range[] {
    const random = new Random(seed + 1);
    const some = Array.from({ length: 20 }, () => {
        const begin = random.below(shape.bins);
        return { begin, end: begin + 1 + random.below(shape.bins - begin) };
    });
    return [
        { begin: 0, end: shape.bins },
        { begin: 0, end: 1 },
        { begin: shape.bins - 1, end: shape.bins },
        ...some,
    ];
}

function about(range: Range): string {
    return `seed ${seed}, bins ${range.begin} to ${range.end}`;
}

test('the figures of a range are those of its events', () => {
    for (const range of ranges()) {
        const { totals } = figuresOf(recording, range);
        const naive = naiveTotals(fixture, range);
        const { allocs, bytes, frees, freed, temporary, live, liveBlocks } = totals;
        assert.deepEqual(
            { allocs, bytes, frees, freed, temporary, live, liveBlocks },
            naive,
            about(range),
        );
    }
});

test('totals are exact where the figures of stacks are estimates', () => {
    const cells = Object.entries(fixture.sections).filter(([name]) =>
        /^cell\.(allocs|bytes|frees|freed|temporary)$/.test(name),
    );
    const guessed = cells.map(([name, section]) => [name, section.map((value) => 3 * value)]);
    const sections = { ...fixture.sections, ...Object.fromEntries(guessed) };
    const sampled = new Recording(new Container(writeContainer(fixture.head, sections).buffer));
    for (const range of ranges()) {
        const { totals, nodes } = figuresOf(sampled, range);
        const naive = naiveTotals(fixture, range);
        const { allocs, bytes, frees, freed, temporary, live, liveBlocks } = totals;
        assert.deepEqual(
            { allocs, bytes, frees, freed, temporary, live, liveBlocks },
            naive,
            about(range),
        );
        assert.equal(
            nodes.bytes.reduce((a, b) => a + b),
            3 * naive.bytes,
        );
    }
});

test('without the sections of totals the cells are added up', () => {
    const names = Object.keys(fixture.sections).filter((name) => !/^(size|bin)\./.test(name));
    const sections = Object.fromEntries(names.map((name) => [name, fixture.sections[name]]));
    const older = new Recording(new Container(writeContainer(fixture.head, sections).buffer));
    for (const range of ranges()) {
        const { bytes, temporary } = figuresOf(older, range).totals;
        const naive = naiveTotals(fixture, range);
        assert.deepEqual([bytes, temporary], [naive.bytes, naive.temporary], about(range));
    }
});

test('the figures of a stack are those of its events', () => {
    for (const range of ranges()) {
        const { nodes } = figuresOf(recording, range);
        for (let node = 0; node < shape.nodes; node++) {
            const own = {
                ...fixture,
                blocks: fixture.blocks.filter((block) => block.node === node),
            };
            const naive = naiveTotals(own, range);
            const figures = [
                nodes.allocs,
                nodes.bytes,
                nodes.temporary,
                nodes.live,
                nodes.liveBlocks,
            ].map((f) => f[node]);
            assert.deepEqual(
                figures,
                [naive.allocs, naive.bytes, naive.temporary, naive.live, naive.liveBlocks],
                `${about(range)}, node ${node}`,
            );
        }
    }
});

test('the peak of the whole is exact', () => {
    const { peak, totals, nodes } = figuresOf(recording, { begin: 0, end: shape.bins });
    const naive = peakOf(fixture.blocks);
    assert.ok(peak.isExact);
    assert.equal(totals.peakLive, naive.bytes);
    assert.equal(totals.peakTimeNs, naive.time);
    assert.equal(
        nodes.peak.reduce((a, b) => a + b),
        naive.bytes,
    );
    assert.equal(
        nodes.peakBlocks.reduce((a, b) => a + b),
        naive.blocks,
    );
});

test('elsewhere the peak of stacks is what was live at the end of the fullest bin', () => {
    const peakBin = binOf(shape, peakOf(fixture.blocks).time);
    for (const range of ranges().filter(({ begin, end }) => peakBin < begin || peakBin >= end)) {
        const { peak, nodes } = figuresOf(recording, range);
        assert.ok(!peak.isExact);
        const lives = Array.from({ length: range.end - range.begin }, (_, i) => {
            const end = (range.begin + i + 1) * binNs;
            return fixture.blocks
                .filter((block) => isLiveAt(block, end - 0.5))
                .reduce((sum, block) => sum + block.size, 0);
        });
        assert.equal(
            nodes.peak.reduce((a, b) => a + b),
            Math.max(...lives),
            about(range),
        );
    }
});

test('histograms are of the blocks that the range allocated', () => {
    for (const range of ranges()) {
        const born = fixture.blocks.filter(
            ({ begin }) => binOf(shape, begin) >= range.begin && binOf(shape, begin) < range.end,
        );
        const sizes = new Float64Array(SIZE_BOUNDS.length);
        const lives = new Float64Array(LIFETIME_BOUNDS.length);
        for (const block of born) {
            sizes[classOf(SIZE_BOUNDS, block.size)]++;
            lives[classOf(LIFETIME_BOUNDS, block.end - block.begin)] += block.size;
        }
        const [size, lifetime] = [recording.sizes, recording.lifetimes];
        assert.ok(size !== null && lifetime !== null);
        assert.deepEqual(classSums(size.counts, SIZE_BOUNDS.length, range), sizes, about(range));
        assert.deepEqual(
            classSums(lifetime.bytes, LIFETIME_BOUNDS.length, range),
            lives,
            about(range),
        );
    }
});

test('threads are counted within the range', () => {
    for (const range of ranges()) {
        const figures = threadFigures(recording, range);
        for (let thread = 0; thread < shape.threads; thread++) {
            const own = {
                ...fixture,
                blocks: fixture.blocks.filter((block) => block.thread === thread),
            };
            const naive = naiveTotals(own, range);
            const found = figures.find((row) => row.index === thread) ?? { allocs: 0, bytes: 0 };
            assert.deepEqual(
                [found.allocs, found.bytes],
                [naive.allocs, naive.bytes],
                `${about(range)}, thread ${thread}`,
            );
        }
    }
});

test('call sites gather all stacks that end there, by place, function or module', () => {
    const range = { begin: 3, end: 40 };
    const figures = figuresOf(recording, range);
    const naive = naiveTotals(fixture, range);
    for (const grouping of ['site', 'function', 'module'] as const) {
        const sites = sitesOf(recording, figures, grouping);
        const sum = (key: 'bytes' | 'allocs' | 'live' | 'temporary'): number =>
            sites.reduce((all, site) => all + site[key], 0);
        assert.deepEqual(
            [sum('bytes'), sum('allocs'), sum('live'), sum('temporary')],
            [naive.bytes, naive.allocs, naive.live, naive.temporary],
        );
        const labels = sites.map((site) => `${site.label} ${site.place} ${site.module}`);
        assert.equal(new Set(labels).size, labels.length, `${grouping}: each once`);
    }
    const [site] = sitesOf(recording, figures, 'site').filter(({ nodes }) => nodes.length > 2);
    const own = fixture.blocks.filter((block) => fixture.frame[block.node] === site.frame);
    assert.equal(site.bytes, naiveTotals({ ...fixture, blocks: own }, range).bytes);
});

test('the snapshot nearest to the end of the range is taken', () => {
    const times = recording.head.snapshots.map((snapshot) => snapshot.time_ns);
    assert.equal(snapshotFor(recording, { begin: 0, end: shape.bins }), times.length - 1);
    assert.equal(snapshotFor(recording, { begin: 0, end: 1 }), 0);
    assert.equal(
        snapshotFor(
            { ...recording, head: { ...recording.head, snapshots: [] } } as unknown as Recording,
            { begin: 0, end: 1 },
        ),
        -1,
    );
});

test('of two snapshots that are as near, the later is taken', () => {
    const snapshots = [{ time_ns: 5 * binNs }, { time_ns: 7 * binNs }];
    const twin = { binNs, head: { snapshots } } as unknown as Recording;
    assert.equal(snapshotFor(twin, { begin: 0, end: 6 }), 1);
});

test('what pins the pages comes to the free bytes of the snapshot', () => {
    recording.head.snapshots.forEach((snapshot, i) => {
        const sites = pinSites(recording, i);
        const bytes = sites.reduce((sum, site) => sum + site.bytes, 0);
        const pages = sites.reduce((sum, site) => sum + site.pages, 0);
        assert.ok(Math.abs(bytes - snapshot.free_bytes) < 1e-3, `snapshot ${i}`);
        assert.ok(Math.abs(pages - snapshot.partial_pages) < 1e-6, `snapshot ${i}`);
    });
    assert.deepEqual(pinSites(recording, -1), []);
});

test('a selection keeps to whole bins, at least one, and tells its listeners', () => {
    const selection = new Selection(10);
    const told: [number, number, boolean][] = [];
    selection.subscribe((range, isFinal) => told.push([range.begin, range.end, isFinal]));
    selection.select(2.3, 4.1, false);
    selection.select(7, 3);
    selection.select(-5, 0);
    selection.select(9.5, 99);
    assert.ok(!selection.isWhole);
    selection.reset();
    assert.ok(selection.isWhole);
    assert.deepEqual(told, [
        [2, 5, false],
        [3, 7, true],
        [0, 1, true],
        [9, 10, true],
        [0, 10, true],
    ]);
});
