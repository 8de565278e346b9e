// SPDX-License-Identifier: MIT

/**
 * The JSON head of a report's data, as docs/report.md describes it; what the page reads of
 * it.
 */

export type SectionType = 'u8' | 'u16' | 'u32' | 'f64';

export interface SectionEntry {
    type: SectionType;
    offset: number;
    count: number;
}

export interface Program {
    command: string;
    process: number;
    started_ms: number;
    tarn: string;
    stacks: string;
    sample_bytes: number;
    blocks: string;
    file: string;
    is_cut: boolean;
    lost: number;
}

export interface Summary {
    events: number;
    allocations: number;
    frees: number;
    reallocs: number;
    failed: number;
    unknown_frees?: number;
    bytes_allocated: number;
    peak_live: number;
    peak_time_ns: number;
    peak_blocks: number;
    live_end: number;
    blocks_end: number;
    duration_ns: number;
    threads: number;
    temporary: number;
    temporary_bytes: number;
    stacks: number;
    modules: number;
    page_size: number;
}

export interface Thread {
    id: number;
    name: string;
    allocations: number;
    bytes: number;
}

export interface Pool {
    name: string;
    kind: string;
    parent: number;
    allocations: number;
    frees: number;
    peak_live: number;
    live_end: number;
    resets: number;
    closed: boolean;
}

export interface MapHead {
    columns: number;
    rows: number;
    ns_per_column: number;
    bytes_per_row: number;
    bottom: number;
    /** Where gaps between addresses were left out: distance from the bottom, and address there. */
    extents?: [number, number][];
    layout: string;
    peak_footprint: number;
    /** Blocks that the layout had no place for. */
    unplaced?: number;
}

export interface Snapshot {
    time_ns: number;
    label: string;
    footprint: number;
    live: number;
    pages: number;
    full_pages: number;
    partial_pages: number;
    free_bytes: number;
}

export interface ReplayCurve {
    event: number[];
    time_ns: number[];
    live: number[];
    footprint: (number | null)[];
    resident: (number | null)[];
}

export interface ReplayRun {
    name: string;
    kind: string;
    about: string;
    order: string;
    status: string;
    error: string | null;
    events_per_second: number | null;
    ns: { mean: number; p50: number; p99: number; p99_9: number; max: number } | null;
    peak_footprint: number | null;
    peak_resident: number | null;
    end_footprint: number | null;
    end_resident: number | null;
    fragmentation: {
        external_peak: number | null;
        internal_peak: number | null;
        external_end: number | null;
        internal_end: number | null;
    } | null;
    failures: number;
    rank: number | null;
    curve: ReplayCurve | null;
}

export interface Replay {
    trace: string;
    command: string;
    events: number;
    allocations: number;
    threads: number;
    theory: {
        peak_live: number;
        static_plan: {
            height: number;
            lower_bound: number;
            buffers: number;
            is_optimal: boolean;
            method: string;
        } | null;
        robson: { bytes: number; largest: number; text: string } | null;
    } | null;
    runs: ReplayRun[];
    movable: {
        peak_footprint: number;
        end_footprint: number;
        mean_footprint?: number;
        without: number;
        end_without?: number;
        mean_without?: number;
        bytes_moved: number;
        blocks_moved: number;
        passes: number;
        longest_us: number;
        saved: number;
    } | null;
}

export interface Head {
    format: string;
    version: number;
    sections: Record<string, SectionEntry>;
    program: Program;
    summary: Summary;
    threads: Thread[];
    pools: Pool[];
    bins: { count: number; width_ns: number };
    curve: { count: number; width_ns: number };
    sizes: { bounds: (number | null)[] };
    lifetimes: { bounds_ns: (number | null)[] };
    map: MapHead | null;
    snapshots: Snapshot[];
    replay: Replay | null;
}
