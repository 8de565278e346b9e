// SPDX-License-Identifier: MIT

import { decodeRecording } from './data/decode';
import { Fault, damaged } from './data/fault';
import type { Recording } from './data/recording';
import { Page } from './page';
import { el, fill } from './ui/dom';
import { startTheme } from './ui/theme';
import './style.css';

/** Reads the data in the page and shows it, or says why it cannot. */

async function start(): Promise<void> {
    const root = document.getElementById('page') as HTMLElement;
    startTheme();
    const message = el('p', { class: 'progress', role: 'status' }, 'Reading…');
    fill(root, message);
    try {
        const recording = await read((text) => {
            message.textContent = text;
        });
        message.textContent = 'Drawing…';
        await painted();
        new Page(root, recording).start();
    } catch (error) {
        showFault(root, error);
    }
    root.dataset['state'] = root.querySelector('.fault') === null ? 'ready' : 'fault';
}

async function read(progress: (text: string) => void): Promise<Recording> {
    const data = document.getElementById('tarn-data');
    if (data === null) {
        throw new Fault(
            'This page has no recording in it.',
            'It is the empty form that `tarn report` fills. Run: tarn report FILE -o report.html',
        );
    }
    const text = data.textContent ?? '';
    // The text is large, and from now on held only once.
    data.remove();
    return decodeRecording(text.trim(), progress);
}

/** Waits until the browser has had the time to show what was just changed. */
function painted(): Promise<void> {
    return new Promise((resolve) => {
        requestAnimationFrame(() => setTimeout(resolve));
    });
}

function showFault(root: HTMLElement, error: unknown): void {
    const fault =
        error instanceof Fault
            ? error
            : damaged(error instanceof Error ? error.message : String(error));
    fill(
        root,
        el(
            'div',
            { class: 'fault', role: 'alert' },
            el('h1', {}, 'This report cannot be shown'),
            el('p', {}, fault.message),
            el('p', {}, fault.advice),
        ),
    );
}

void start();
