// How far a run has come, and how far it may go: retired instructions, and guest time, which is one ns for each of them
// and what is charged for those that take longer.

/** Later than any run ends. */
const FOREVER = 1n << 62n;

export class Budget {
  /** Instructions retired since the machine started. */
  retired = 0n;
  /** Guest ns beyond one for each of them. */
  charged = 0n;
  /** Guest ns since `begin`. */
  since = 0;
  /** What the run under way was asked for, and the count of retired instructions that both come to. */
  #until = 0n;
  #deadline = 0n;
  #limit = 0n;

  /** @param until instructions in all @param deadline ns in all */
  begin(until: bigint, deadline = FOREVER): void {
    this.#until = until;
    this.#deadline = deadline;
    this.since = 0;
    this.#setLimit();
  }

  /** Instructions that may yet be retired, unless some take longer. */
  get left(): bigint {
    return this.#limit - this.retired;
  }

  get elapsed(): bigint {
    return this.retired + this.charged;
  }

  /** @param delay ns that some of the instructions took longer */
  count(instructions: number, delay: number): void {
    this.retired += BigInt(instructions);
    this.since += instructions;
    if (delay !== 0) this.charge(BigInt(delay));
  }

  /** The instruction under way is done. */
  retire(): void {
    this.retired++;
    this.since++;
  }

  /** The instruction under way takes so many ns more. */
  charge(ns: bigint): void {
    this.charged += ns;
    this.since += Number(ns);
    this.#setLimit();
  }

  #setLimit(): void {
    const due = this.#deadline - this.charged;
    this.#limit = due < this.#until ? due : this.#until;
  }
}
