/** As much of a webhook's address as may be shown: the rest of it is often what lets in whoever knows it. */
export function shownTarget(url: string): string {
  const { origin, pathname, search } = new URL(url);
  return pathname === '/' && search === '' ? `${origin}/` : `${origin}/…`;
}
