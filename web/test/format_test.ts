// SPDX-License-Identifier: MIT

import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as format from '../src/data/format';

test('bytes have three digits and a unit of two to the ten', () => {
    const cases: [number, string][] = [
        [0, '0 B'],
        [1, '1 B'],
        [999, '999 B'],
        [1023, '1.00 KiB'],
        [1024, '1.00 KiB'],
        [1536, '1.50 KiB'],
        [10 * 1024, '10.0 KiB'],
        [999.4 * 1024, '999 KiB'],
        [999.6 * 1024, '0.98 MiB'],
        [1024 ** 2, '1.00 MiB'],
        [123456789, '118 MiB'],
        [5 * 1024 ** 3, '5.00 GiB'],
        [2 ** 60, '1024 PiB'],
        [-1536, '-1.50 KiB'],
        [12.25, '12.3 B'],
    ];
    for (const [value, text] of cases) {
        assert.equal(format.bytes(value), text);
    }
});

test('bytes on a scale have the digits that tell its steps apart', () => {
    assert.equal(format.bytesWithin(53282078, 1024), '50.814 MiB');
    assert.equal(format.bytesWithin(2 * 1024 ** 2, 1024 ** 2), '2 MiB');
    assert.equal(format.bytesWithin(100, 16), '100 B');
    assert.equal(format.bytesWithin(1024 ** 2 - 1, 1024), '1.000 MiB');
    assert.equal(format.bytesWithin(1024 ** 2 - 1, 1024 ** 2), '1 MiB');
});

test('counts are grouped, and short ones have a unit of ten to the three', () => {
    assert.equal(format.count(1234567), '1,234,567');
    assert.equal(format.shortCount(9999), '9,999');
    assert.equal(format.shortCount(12345), '12.3 k');
    assert.equal(format.shortCount(999960), '1.00 M');
    assert.equal(format.shortCount(93213157), '93.2 M');
    assert.equal(format.counted(0, 'block'), '0 blocks');
    assert.equal(format.counted(1, 'block'), '1 block');
    assert.equal(format.counted(1234, 'pass', 'passes'), '1,234 passes');
    assert.equal(format.estimate('12.3 KiB', true), '≈ 12.3 KiB');
    assert.equal(format.estimate('12.3 KiB', false), '12.3 KiB');
    assert.equal(format.exactBytes(1), '1 byte');
    assert.equal(format.exactBytes(4096), '4,096 bytes');
});

test('durations go from nanoseconds to hours', () => {
    const cases: [number, string][] = [
        [0, '0 ns'],
        [850, '850 ns'],
        [999.7, '1.00 µs'],
        [12300, '12.3 µs'],
        [999600, '1.00 ms'],
        [1.5e9, '1.50 s'],
        [119e9, '119 s'],
        [119.6e9, '2 min 00 s'],
        [125e9, '2 min 05 s'],
        [12000e9, '3 h 20 min'],
    ];
    for (const [ns, text] of cases) {
        assert.equal(format.duration(ns), text);
    }
});

test('a moment has the decimals that its grain can tell apart', () => {
    assert.equal(format.moment(1.23456e9, 1e7), '1.23 s');
    assert.equal(format.moment(1.23456e9, 2e9), '1 s');
    assert.equal(format.moment(5, 1), '0.000000005 s');
});

test('shares are percent, and no share is a dash', () => {
    assert.equal(format.percent(0), '0 %');
    assert.equal(format.percent(0.00123), '0.12 %');
    assert.equal(format.percent(0.1234), '12.3 %');
    assert.equal(format.percent(0.997), '99.7 %');
    assert.equal(format.percent(1), '100 %');
    assert.equal(format.percent(0 / 0), '–');
});

test('addresses are hexadecimal in groups of four', () => {
    assert.equal(format.address(0x7f1234567890), '0x7f12_3456_7890');
    assert.equal(format.address(0x10), '0x10');
});

test('classes tell their bounds', () => {
    assert.equal(format.sizeClass(0, 1), '0 B');
    assert.equal(format.sizeClass(17, 33), '17 – 32 B');
    assert.equal(format.sizeClass(1025, 2049), '1.00 KiB – < 2.00 KiB');
    assert.equal(format.sizeClass(65537, null), '≥ 64.0 KiB');
    assert.equal(format.lifetimeClass(0, 1000, false), '< 1.00 µs');
    assert.equal(format.lifetimeClass(1000, 10000, false), '1.00 µs – 10.0 µs');
    assert.equal(format.lifetimeClass(10000, null, false), '≥ 10.0 µs');
    assert.equal(format.lifetimeClass(10000, null, true), 'never freed');
});
