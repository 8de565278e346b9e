// SPDX-License-Identifier: MIT

import { type Figures, figuresOf } from './figures';
import type { Recording } from './recording';
import { Selection } from './selection';

/**
 * A recording, the range that is selected in it, and the figures of that range: what every view
 * looks at.
 */
export class Report {
    readonly recording: Recording;
    readonly selection: Selection;
    private cached: Figures | null = null;

    constructor(recording: Recording) {
        this.recording = recording;
        this.selection = new Selection(recording.binCount);
    }

    get figures(): Figures {
        if (this.cached?.range !== this.selection.range) {
            this.cached = figuresOf(this.recording, this.selection.range);
        }
        return this.cached as Figures;
    }
}
