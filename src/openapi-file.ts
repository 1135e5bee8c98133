export async function openapiFile(_options: object): Promise<number> {
  return 0
}
