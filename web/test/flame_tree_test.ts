// SPDX-License-Identifier: MIT

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Container } from '../src/data/container';
import { figuresOf } from '../src/data/figures';
import {
    type FlameNode,
    NARROW,
    type Path,
    flameTree,
    inclusive,
    stackOf,
} from '../src/data/flame_tree';
import { Recording } from '../src/data/recording';
import { SMALL, makeFixture } from './fixture';
import { Random } from './random';

const seed = Date.now() >>> 0;
const fixture = makeFixture({ ...SMALL, seed });
const recording = new Recording(new Container(fixture.bytes.buffer));
const whole = figuresOf(recording, { begin: 0, end: recording.binCount });
const values = whole.nodes.bytes;
const total = values.reduce((a, b) => a + b);

/** The value of each way down from the root, straight from the stacks. */
function naiveWays(isInverted: boolean): Map<string, number> {
    const ways = new Map<string, number>();
    for (let node = 0; node < values.length; node++) {
        const stack = node === 0 ? [recording.nodes.frame[0]] : stackOf(recording, node);
        const frames = isInverted ? stack : [...stack].reverse();
        for (let depth = 1; depth <= frames.length && values[node] > 0; depth++) {
            const way = frames.slice(0, depth).join(' ');
            ways.set(way, (ways.get(way) ?? 0) + values[node]);
        }
    }
    return ways;
}

function waysOf(tree: FlameNode | null): Map<string, number> {
    const ways = new Map<string, number>();
    const walk = (node: FlameNode, path: Path): void => {
        for (const child of node.children) {
            const way = [...path, child.frame];
            assert.ok(!ways.has(way.join(' ')), 'a frame is twice under one parent');
            ways.set(way.join(' '), child.value);
            walk(child, way);
        }
    };
    assert.ok(tree !== null);
    walk(tree, []);
    return ways;
}

function sorted(ways: Map<string, number>): [string, number][] {
    return [...ways].sort(([a], [b]) => (a < b ? -1 : 1));
}

for (const isInverted of [false, true]) {
    const name = isInverted ? 'inverted' : 'upright';

    test(`the ${name} tree has every stack, each with its sum`, () => {
        const tree = flameTree(recording, values, { isInverted, focus: [], least: 0 });
        assert.equal(tree?.value, total);
        assert.deepEqual(sorted(waysOf(tree)), sorted(naiveWays(isInverted)), `seed ${seed}`);
    });

    test(`the ${name} tree leaves out what is narrow and nothing else`, () => {
        const least = 1 / 200;
        const ways = waysOf(flameTree(recording, values, { isInverted, focus: [], least }));
        for (const [way, value] of naiveWays(isInverted)) {
            assert.equal(
                ways.get(way),
                value < least * total ? undefined : value,
                `seed ${seed}: ${way}`,
            );
        }
    });

    test(`the ${name} tree shows narrow frames as one where together they are wide`, () => {
        const least = 1 / 200;
        const ways = [...naiveWays(isInverted)];
        const left = new Map<string, number>();
        for (const [way, value] of ways.filter(([, each]) => each < least * total)) {
            const parent = way.includes(' ') ? way.slice(0, way.lastIndexOf(' ')) : '';
            left.set(parent, (left.get(parent) ?? 0) + value);
        }
        const shown = waysOf(flameTree(recording, values, { isInverted, focus: [], least }));
        const wide = [...left].filter(
            ([way, value]) => value >= 6 * least * total && (way === '' || shown.has(way)),
        );
        const narrow = [...shown].filter(([way]) => way.endsWith(String(NARROW)));
        const expected = wide.map(
            ([way, value]) => [`${way} ${NARROW}`.trim(), value] as [string, number],
        );
        assert.deepEqual(sorted(new Map(narrow)), sorted(new Map(expected)), `seed ${seed}`);
        assert.ok(!isInverted || narrow.length > 0, `seed ${seed}: the fixture has some`);
    });

    test(`the ${name} tree keeps the widest where there are too many`, () => {
        const ways = sorted(
            waysOf(flameTree(recording, values, { isInverted, focus: [], least: 0, most: 40 })),
        );
        const kept = ways
            .filter(([way]) => !way.endsWith(String(NARROW)))
            .map(([, value]) => value);
        const widest = [...naiveWays(isInverted).values()].sort((a, b) => b - a);
        assert.ok(kept.length <= 41, `${kept.length}`);
        assert.deepEqual(
            kept.sort((a, b) => b - a),
            widest.slice(0, kept.length),
            `seed ${seed}`,
        );
    });

    test(`the ${name} tree of a focus is the part below it, as fine as there is room`, () => {
        const all = naiveWays(isInverted);
        const random = new Random(seed);
        const deep = [...all.keys()].filter((way) => way.split(' ').length >= 3);
        const focus = deep[random.below(deep.length)].split(' ').map(Number);
        const tree = flameTree(recording, values, { isInverted, focus, least: 0 });
        const expected = [...all].filter(
            ([way]) =>
                `${way} `.startsWith(`${focus.join(' ')} `) ||
                `${focus.join(' ')} `.startsWith(`${way} `),
        );
        assert.deepEqual(sorted(waysOf(tree)), sorted(new Map(expected)), `seed ${seed}`);
        assert.equal(tree?.fade, true);
    });

    test(`the ${name} tree goes as far as a focus that is no more exists`, () => {
        const tree = flameTree(recording, values, { isInverted, focus: [999999], least: 0 });
        assert.equal(waysOf(tree).size, naiveWays(isInverted).size);
    });
}

test('there is no tree of nothing', () => {
    const none = new Float64Array(values.length);
    assert.equal(flameTree(recording, none, { isInverted: false, focus: [], least: 0 }), null);
    assert.equal(flameTree(recording, none, { isInverted: true, focus: [], least: 0 }), null);
});

test('a node that freed more than it had is left out', () => {
    const odd = new Float64Array(values.length);
    odd[1] = -5;
    odd[2] = 7;
    const tree = flameTree(recording, odd, { isInverted: true, focus: [], least: 0 });
    assert.equal(tree?.value, 7);
});

test('sums run over all that is below a node', () => {
    assert.deepEqual(
        inclusive(Uint32Array.of(0, 0, 1, 1, 0), Float64Array.of(1, 2, 3, 4, 5)),
        Float64Array.of(15, 9, 3, 4, 5),
    );
});

test('a stack runs from the frame that allocated up to the outermost', () => {
    let node = recording.nodes.count - 1;
    const frames = stackOf(recording, node);
    for (const frame of frames) {
        assert.equal(frame, fixture.frame[node]);
        node = fixture.parent[node];
    }
    assert.equal(node, 0);
    assert.deepEqual(stackOf(recording, 0), []);
});
