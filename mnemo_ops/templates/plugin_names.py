"""Filters and lookups of collections that roles use and we do not have yet: they get an honest answer."""

_NAMES = """
    cidr_merge config counter dict_kv from_csv from_toml groupby_as_dict hashids_decode hashids_encode hwaddr
    inventory_hostnames ip4_hex ipaddr ipmath ipsubnet ipv4 ipv6 ipwrap jc json_diff json_patch json_query keep_keys
    lists_mergeby macaddr network_in_network network_in_usable next_nth_usable nthhost parse_cli parse_xml
    previous_nth_usable random_mac reduce_on_network remove_keys replace_keys slaac to_toml unicode_normalize unvault
    url usable_range vault version_sort vlan_parser
"""
UNKNOWN = frozenset(_NAMES.split())
