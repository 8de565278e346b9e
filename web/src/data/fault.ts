// SPDX-License-Identifier: MIT

/** What is wrong with a report's data, in words for the reader of the page. */
export class Fault extends Error {
    /** What the reader can do about it. */
    readonly advice: string;

    constructor(message: string, advice: string) {
        super(message);
        this.name = 'Fault';
        this.advice = advice;
    }
}

export function damaged(what: string): Fault {
    return new Fault(
        `The data of this report is damaged: ${what}.`,
        'The file may have been cut short or altered on its way here. Copy it again, or write it anew with `tarn report`.',
    );
}
