from tasks import deploy_stack

deploy_stack()
