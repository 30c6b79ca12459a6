/** The part that is needed of systeminformation, whose main module loads all of it. */
declare module 'systeminformation/lib/memory.js' {
  export { mem } from 'systeminformation';
}
