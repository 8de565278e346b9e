// SPDX-License-Identifier: MIT

import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';

import * as format from '../data/format';
import type { Report } from '../data/report';
import { colour, onTheme } from './theme';

/** A chart over the time of the recording, in which a range can be dragged. */

/** Pixels left of the plot, so that charts above each other and the range bar agree. */
const AXIS_WIDTH = 72;
const RIGHT_PADDING = 22;
/** Pixels that make a drag of a click. */
const LEAST_DRAG = 4;

export interface Line {
    label: string;
    /** A colour of the style sheet. */
    colour: string;
    values: ArrayLike<number>;
    isShown: boolean;
    isDashed?: boolean;
    /** Of a replay, not of the recording. */
    isReplay?: boolean;
    /** Invisible lines carry the edges of a band. */
    isEdge?: boolean;
    /** Filled down to the line of this index. */
    bandDownTo?: number;
    isFilled?: boolean;
}

export interface ChartOptions {
    height: number;
    label: string;
    times: ArrayLike<number>;
    lines: Line[];
    hasTimes: boolean;
    value: (value: number) => string;
    /** Called with the index under the pointer, or null when it leaves. */
    onHover: (index: number | null) => void;
}

export class TimeChart {
    readonly root: HTMLElement;
    private readonly report: Report;
    private readonly plot: uPlot;
    private readonly height: number;
    /** Where the button went down; NaN while it is up. */
    private draggedFrom = NaN;

    constructor(parent: HTMLElement, report: Report, options: ChartOptions) {
        this.root = parent;
        this.report = report;
        this.height = options.height;
        parent.setAttribute('role', 'img');
        parent.setAttribute('aria-label', options.label);
        const data = [
            options.times,
            ...options.lines.map((line) => line.values),
        ] as unknown as uPlot.AlignedData;
        this.plot = new uPlot(this.plotOptions(options), data, parent);
        this.plot.over.addEventListener('pointerdown', (event) => {
            this.draggedFrom = event.clientX;
        });
        addEventListener('pointerup', (event) => this.endDrag(event.clientX));
        new ResizeObserver(() => this.resize()).observe(parent);
        onTheme(() => this.plot.redraw(false, true));
    }

    setShown(line: number, isShown: boolean): void {
        this.plot.setSeries(line + 1, { show: isShown });
    }

    /** Draws the selected range over the chart. */
    showRange(): void {
        if (this.isDragging) {
            return;
        }
        const { selection, recording } = this.report;
        const { begin, end } = selection.range;
        const { width, height } = this.plot.over.getBoundingClientRect();
        const scale = width / recording.binCount;
        const select = selection.isWhole
            ? { left: 0, width: 0, top: 0, height: 0 }
            : { left: begin * scale, width: (end - begin) * scale, top: 0, height };
        this.plot.setSelect(select, false);
    }

    private get isDragging(): boolean {
        return !Number.isNaN(this.draggedFrom);
    }

    private plotOptions(options: ChartOptions): uPlot.Options {
        const { recording } = this.report;
        const seconds = (recording.binCount * recording.binNs) / 1e9;
        return {
            width: Math.max(this.root.clientWidth, 200),
            height: options.height,
            padding: [8, RIGHT_PADDING, options.hasTimes ? 0 : 6, 0],
            legend: { show: false },
            cursor: {
                sync: { key: 'time' },
                y: false,
                points: { size: 5 },
                drag: { x: true, y: false, setScale: false },
                bind: {
                    dblclick: () => () => {
                        this.report.selection.reset();
                        return null;
                    },
                },
            },
            scales: {
                x: { time: false, range: [0, seconds] },
                y: { range: (_, __, max) => [0, max > 0 ? max * 1.08 : 1] },
            },
            axes: [timeAxis(options.hasTimes), valueAxis(options)],
            series: [{}, ...options.lines.map(seriesOf)],
            bands: options.lines.flatMap((line, i) =>
                line.bandDownTo === undefined
                    ? []
                    : [
                          {
                              series: [i + 1, line.bandDownTo + 1] as [number, number],
                              fill: () => faint(line.colour),
                          },
                      ],
            ),
            hooks: {
                setCursor: [(plot) => this.onCursor(plot, options)],
            },
        };
    }

    private onCursor(plot: uPlot, options: ChartOptions): void {
        options.onHover(plot.cursor.idx ?? null);
        if (this.isDragging && plot.select.width > 0) {
            const [begin, end] = this.dragged();
            this.report.selection.select(begin, end, false);
        }
    }

    private endDrag(x: number): void {
        if (!this.isDragging) {
            return;
        }
        const isClick = Math.abs(x - this.draggedFrom) < LEAST_DRAG;
        // The plot hears of the button after us, and hides its selection when nothing was dragged.
        setTimeout(() => {
            this.draggedFrom = NaN;
            if (isClick) {
                this.showRange();
            } else {
                this.report.selection.select(...this.dragged());
            }
        });
    }

    private dragged(): [number, number] {
        const { left, width } = this.plot.select;
        const scale = this.report.recording.binCount / this.plot.over.getBoundingClientRect().width;
        return [left * scale, (left + width) * scale];
    }

    private resize(): void {
        const width = this.root.clientWidth;
        if (width > 0 && width !== this.plot.width) {
            this.plot.setSize({ width, height: this.height });
            this.showRange();
        }
    }
}

function seriesOf(line: Line): uPlot.Series {
    return {
        label: line.label,
        show: line.isShown,
        stroke: () => (line.isEdge === true ? 'transparent' : colour(line.colour)),
        width: line.isEdge === true ? 0 : 1.5,
        dash: line.isDashed === true ? [5, 4] : [],
        fill: () => (line.isFilled === true ? faint(line.colour) : 'transparent'),
        points: { show: false },
    };
}

/** The colour, let through to a fifth. */
function faint(name: string): string {
    return `${colour(name)}38`;
}

function timeAxis(isShown: boolean): uPlot.Axis {
    return {
        stroke: () => colour('muted'),
        grid: { stroke: () => colour('grid'), width: 1 },
        ticks: { show: false },
        size: isShown ? 26 : 0,
        font: AXIS_FONT,
        values: (_, splits) => splits.map((split) => (isShown ? secondsText(split) : '')),
    };
}

function valueAxis({ value, height }: ChartOptions): uPlot.Axis {
    return {
        stroke: () => colour('muted'),
        grid: { stroke: () => colour('grid'), width: 1 },
        ticks: { show: false },
        size: AXIS_WIDTH,
        font: AXIS_FONT,
        space: Math.min(34, height / 4),
        values: (_, splits) => splits.map((split) => value(split)),
        // Round in powers of two, as bytes are.
        ...(value === format.bytes ? { incrs: binarySteps() } : {}),
    };
}

const AXIS_FONT = '11px system-ui, sans-serif';

function binarySteps(): number[] {
    const steps: number[] = [];
    for (let unit = 1; unit < 2 ** 60; unit *= 1024) {
        for (const factor of [1, 2, 5, 10, 20, 50, 100, 200, 500]) {
            steps.push(unit * factor);
        }
    }
    return steps;
}

function secondsText(seconds: number): string {
    return seconds === 0 ? '0 s' : `${Number(seconds.toPrecision(9))} s`;
}
