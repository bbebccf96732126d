"""Ansible's own words that we know and do not have yet: they get an honest answer instead of a guess."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# ansible-doc --list --type keyword
PLAY_KEYS = _words("""
    any_errors_fatal become_exe become_flags become_method check_mode collections connection debugger diff environment
    fact_path force_handlers gather_subset gather_timeout ignore_errors ignore_unreachable max_fail_percentage
    module_defaults no_log order port remote_user run_once serial strategy throttle timeout vars_prompt
""")

ROLE_KEYS = _words("""
    any_errors_fatal check_mode collections connection debugger delegate_to diff environment ignore_errors
    ignore_unreachable module_defaults no_log port remote_user run_once throttle timeout
""")

TASK_KEYS = _words("""
    action always any_errors_fatal args async become_exe become_flags become_method block changed_when check_mode
    collections connection debugger delay delegate_facts delegate_to diff environment failed_when ignore_errors
    ignore_unreachable listen local_action loop loop_control module_defaults no_log notify poll port register
    remote_user rescue retries run_once throttle timeout until with_items
""")

LOOP_CONTROL_KEYS = _words("break_when extended extended_allitems index_var label pause")

# ansible.builtin, and what server playbooks use most besides
MODULES = _words("""
    add_host apt apt_key apt_repository assemble assert async_status authorized_key blockinfile command copy cron
    deb822_repository debconf debug dnf dpkg_selections fail fetch file find gather_facts get_url getent git group
    group_by hostname import_role include_role include_vars iptables known_hosts lineinfile locale_gen meta modprobe
    mount package package_facts pause ping pip raw reboot replace script seboolean service service_facts set_fact
    set_stats setup shell slurp stat synchronize sysctl systemd systemd_service sysvinit tempfile template timezone ufw
    unarchive uri user validate_argument_spec wait_for wait_for_connection yum
""")

VARIABLES = _words("""
    ansible_config_file ansible_dependent_role_names ansible_forks ansible_inventory_sources ansible_local
    ansible_parent_role_names ansible_play_role_names ansible_playbook_python ansible_role_names ansible_search_path
    environment role_names
""")

# kinds whose facts are variables of their own name, without the usual prefix; those of getent are, too
BARE_FACTS = {"service_facts": "services", "package_facts": "packages"}

# what agent/facts/gather.py gathers
FACTS = _words("""
    all_ipv4_addresses all_ipv6_addresses apparmor architecture bios_date bios_vendor bios_version boot_id
    cmdline date_time default_ipv4 default_ipv6 distribution distribution_file_parsed
    distribution_file_path distribution_file_variety distribution_major_version distribution_minor_version
    distribution_release distribution_version dns domain effective_group_id effective_user_id env fips fqdn
    hostname init_started interfaces is_chroot kernel kernel_version loadavg lsb machine machine_id memfree_mb memory_mb
    memtotal_mb module_setup mounts nodename os_family pkg_mgr processor processor_cores processor_count
    processor_nproc processor_threads_per_core processor_vcpus product_name product_serial product_uuid
    product_version python python_version real_group_id real_user_id selinux service_mgr
    ssh_host_key_ecdsa_public ssh_host_key_ecdsa_public_keytype ssh_host_key_ed25519_public
    ssh_host_key_ed25519_public_keytype ssh_host_key_rsa_public ssh_host_key_rsa_public_keytype swapfree_mb
    swaptotal_mb system system_vendor uptime_seconds user_dir user_gecos user_gid user_id user_shell user_uid
    userspace_architecture userspace_bits virtualization_role virtualization_tech_guest
    virtualization_tech_host virtualization_type
""")
