// SPDX-License-Identifier: MIT

/**
 * A replay comes from a file of its own, so its faults are no faults of the recording: a check tells
 * the first one in words, or "" where all that the page reads is of the type that it should be.
 */
type Check = (value: unknown, where: string) => string;

export function faultOfReplay(replay: unknown): string {
    return REPLAY(replay, 'it');
}

const text: Check = (value, where) => (typeof value === 'string' ? '' : `${where} is no text`);

const flag: Check = (value, where) =>
    typeof value === 'boolean' ? '' : `${where} is neither true nor false`;

const number: Check = (value, where) =>
    typeof value === 'number' && Number.isFinite(value) ? '' : `${where} is no number`;

function nullOr(check: Check): Check {
    return (value, where) => (value === null ? '' : check(value, where));
}

function missingOr(check: Check): Check {
    return (value, where) => (value === undefined ? '' : check(value, where));
}

function listOf(check: Check): Check {
    return (value, where) => {
        if (!Array.isArray(value)) {
            return `${where} is no list`;
        }
        for (let i = 0; i < value.length; i++) {
            const fault = check(value[i], `${where}[${i}]`);
            if (fault !== '') {
                return fault;
            }
        }
        return '';
    };
}

function objectOf(fields: Record<string, Check>): Check {
    return (value, where) => {
        if (typeof value !== 'object' || value === null || Array.isArray(value)) {
            return `${where} is no object`;
        }
        for (const [name, check] of Object.entries(fields)) {
            const path = where === 'it' ? name : `${where}.${name}`;
            const fault = check((value as Record<string, unknown>)[name], path);
            if (fault !== '') {
                return fault;
            }
        }
        return '';
    };
}

const figure = missingOr(nullOr(number));

const CURVE = objectOf({
    time_ns: listOf(number),
    footprint: missingOr(listOf(nullOr(number))),
    resident: missingOr(listOf(nullOr(number))),
});

const RUN = objectOf({
    name: text,
    kind: text,
    about: text,
    order: text,
    status: text,
    error: missingOr(nullOr(text)),
    events_per_second: figure,
    ns: missingOr(nullOr(objectOf({ mean: figure, p99: figure, p99_9: figure }))),
    peak_footprint: figure,
    peak_resident: figure,
    fragmentation: missingOr(
        nullOr(objectOf({ external_peak: figure, internal_peak: figure, external_end: figure })),
    ),
    failures: figure,
    rank: figure,
    curve: missingOr(nullOr(CURVE)),
});

const THEORY = objectOf({
    peak_live: number,
    static_plan: nullOr(
        objectOf({
            height: number,
            lower_bound: number,
            buffers: number,
            is_optimal: flag,
            method: text,
        }),
    ),
    robson: nullOr(objectOf({ bytes: number, largest: number, text })),
});

const MOVABLE = objectOf({
    peak_footprint: number,
    without: number,
    saved: number,
    mean_footprint: missingOr(number),
    mean_without: missingOr(number),
    end_footprint: number,
    end_without: missingOr(number),
    bytes_moved: number,
    blocks_moved: number,
    passes: number,
    longest_us: number,
});

const REPLAY = objectOf({
    events: number,
    allocations: number,
    threads: number,
    theory: nullOr(THEORY),
    runs: listOf(RUN),
    movable: missingOr(nullOr(MOVABLE)),
});
