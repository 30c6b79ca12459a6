/**
 * Of node:http. To `import` it loads a client for web sockets with it, because a module's names are all read at once: ten
 * megabytes of each node.
 */
export const { Agent, STATUS_CODES, request } = process.getBuiltinModule('node:http');
