// SPDX-License-Identifier: MIT

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Container } from '../src/data/container';
import { decodeRecording } from '../src/data/decode';
import { Fault } from '../src/data/fault';
import { Recording } from '../src/data/recording';
import { type Section, packed, writeContainer } from './container_writer';
import { SMALL, makeFixture } from './fixture';
import { Random } from './random';

const fixture = makeFixture(SMALL);

function recordingWith(sections: Record<string, Section | null>, head: object = {}): Recording {
    const all = { ...fixture.sections, ...sections };
    const kept = Object.fromEntries(Object.entries(all).filter(([, section]) => section !== null));
    const bytes = writeContainer({ ...fixture.head, ...head }, kept as Record<string, Section>);
    return new Recording(new Container(bytes.buffer));
}

function failsWith(pattern: RegExp): (error: unknown) => boolean {
    return (error) => error instanceof Fault && pattern.test(error.message) && error.advice !== '';
}

test('a section is read as it was written', () => {
    const container = new Container(fixture.bytes.buffer);
    assert.deepEqual(container.section('cell.bytes', 'f64'), fixture.sections['cell.bytes']);
    assert.deepEqual(container.section('map.born', 'u16'), fixture.sections['map.born']);
    assert.deepEqual(container.section('map.used', 'u8'), fixture.sections['map.used']);
    assert.deepEqual(
        container.section('node.parent', 'u32', SMALL.nodes),
        fixture.sections['node.parent'],
    );
});

test('packed base64 becomes the recording, with its progress told', async () => {
    const told: string[] = [];
    const recording = await decodeRecording(packed(fixture.bytes), (text) => told.push(text));
    assert.equal(recording.nodes.count, SMALL.nodes);
    assert.match(told[0], /Unpacking… 0 %/);
    assert.equal(recording.functionOf(0), '(no stack)');
    assert.match(recording.placeOf(1), /^\w+\.c:\d+$/);
    assert.match(recording.placeOf(1, true), /^\/src\/program\/\w+\.c:\d+$/);
});

test('unknown sections and fields are passed over', () => {
    const recording = recordingWith({ 'later.thing': Uint8Array.of(1, 2, 3) }, { later: 1 });
    assert.equal(recording.nodes.count, SMALL.nodes);
});

test('optional sections may be missing', () => {
    const names = [
        'size.counts',
        'lifetime.counts',
        'map.used',
        'rect.begin_ns',
        'pin.node',
        'thread.index',
        'curve.footprint',
    ];
    const recording = recordingWith(Object.fromEntries(names.map((name) => [name, null])));
    const { sizes, lifetimes, map, rects, pins, threads, curve } = recording;
    assert.deepEqual(
        [sizes, lifetimes, map, rects, pins, threads, curve.footprint],
        Array(7).fill(null),
    );
});

test('threads of one name are told apart by their number', () => {
    const threads = [
        { id: 7, name: 'worker' },
        { id: 8, name: 'worker' },
        { id: 9, name: 'main' },
        { id: 10, name: '' },
    ];
    const recording = recordingWith({}, { threads });
    const names = [0, 1, 2, 3, 4].map((index) => recording.threadName(index));
    assert.deepEqual(names, ['worker (7)', 'worker (8)', 'main', 'thread 10', 'other threads']);
});

test('a missing section is named', () => {
    assert.throws(
        () => recordingWith({ 'cell.bytes': null }),
        failsWith(/section cell\.bytes is missing/),
    );
});

test('a section of another type is refused', () => {
    const wrong = new Float64Array(SMALL.nodes);
    assert.throws(
        () => recordingWith({ 'node.parent': wrong }),
        failsWith(/node\.parent holds f64 instead of u32/),
    );
});

test('a section of another length is refused', () => {
    const short = new Float64Array(3);
    assert.throws(
        () => recordingWith({ 'node.peak_bytes': short }),
        failsWith(/node\.peak_bytes has 3 elements/),
    );
});

test('an index that leads nowhere is refused', () => {
    const node = (fixture.sections['cell.node'] as Uint32Array).slice();
    node[5] = SMALL.nodes;
    assert.throws(
        () => recordingWith({ 'cell.node': node }),
        failsWith(/element 5 of the section cell\.node/),
    );
});

test('a child before its parent is refused', () => {
    const parent = (fixture.sections['node.parent'] as Uint32Array).slice();
    parent[3] = 3;
    assert.throws(
        () => recordingWith({ 'node.parent': parent }),
        failsWith(/node 3 of its call tree/),
    );
});

test('ends that run backwards are refused', () => {
    const ends = (fixture.sections['cell.ends'] as Uint32Array).slice();
    ends[2] = 0;
    ends[1] = 9;
    assert.throws(
        () => recordingWith({ 'cell.ends': ends }),
        failsWith(/cell\.ends runs backwards/),
    );
});

test('ends that stop before the last element are refused', () => {
    const ends = (fixture.sections['cell.ends'] as Uint32Array).slice();
    ends[ends.length - 1]--;
    assert.throws(
        () => recordingWith({ 'cell.ends': ends }),
        failsWith(/cell\.ends does not end where its elements end/),
    );
});

test('a head or a section that is not aligned is refused', () => {
    const head = fixture.bytes.slice();
    const view = new DataView(head.buffer);
    view.setUint32(0, view.getUint32(0, true) - 1, true);
    assert.throws(() => new Container(head.buffer), failsWith(/no sensible length/));
    const container = new Container(fixture.bytes.slice().buffer);
    container.head.sections['cell.node'].offset += 4;
    assert.throws(() => container.section('cell.node', 'u32'), failsWith(/lies outside the data/));
});

test('a newer version is told apart from damage', () => {
    assert.throws(
        () => recordingWith({}, { version: 2 }),
        failsWith(/version 2; its page knows versions up to 1/),
    );
});

test('data of something else is refused', () => {
    assert.throws(
        () => recordingWith({}, { format: 'tarn-replay' }),
        failsWith(/not the data of a Tarn report/),
    );
    assert.throws(() => new Container(new ArrayBuffer(3)), failsWith(/ends before its head/));
    assert.throws(
        () => new Container(new Uint8Array(64).fill(255).buffer),
        failsWith(/no sensible length/),
    );
});

test('damaged text, packing and ends are told of as damage', async () => {
    const text = packed(fixture.bytes);
    const ignore = (): void => undefined;
    await assert.rejects(
        decodeRecording(`${text.slice(0, 4000)}!!${text.slice(4002)}`, ignore),
        failsWith(/no base64/),
    );
    await assert.rejects(
        decodeRecording(text.slice(0, 4000), ignore),
        failsWith(/cannot be unpacked/),
    );
    await assert.rejects(decodeRecording('', ignore), failsWith(/cannot be unpacked|ends before/));
    await assert.rejects(decodeRecording('AAAA', ignore), failsWith(/cannot be unpacked/));
});

test('bytes changed at random make a fault or a recording, and nothing else', () => {
    const seed = Date.now() >>> 0;
    const random = new Random(seed);
    const small = makeFixture({
        ...SMALL,
        blocks: 200,
        nodes: 20,
        frames: 10,
        columns: 16,
        rows: 8,
        bins: 4,
    });
    for (let i = 0; i < 2000; i++) {
        const bytes = small.bytes.slice();
        const end = random.below(4) === 0 ? bytes.length : 3000;
        for (let n = random.below(6); n >= 0; n--) {
            bytes[random.below(end)] = random.below(256);
        }
        try {
            new Recording(
                new Container(
                    bytes.slice(
                        0,
                        random.below(3) === 0 ? random.below(bytes.length) : bytes.length,
                    ).buffer,
                ),
            );
        } catch (error) {
            assert.ok(
                error instanceof Fault,
                `seed ${seed}, round ${i}: ${String((error as Error).stack)}`,
            );
        }
    }
});
